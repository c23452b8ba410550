"""What the start of a node imports, in fresh interpreters: it has to be back soon after a kill."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from trt_perception.model_store import find_model
from trt_perception.runtime.gpu_probes import ProbeFailed, cuda_gpus

PROGRAM = """
import gc, importlib, json, sys
from trt_perception.nodes.lean_imports import lean_imports
with lean_imports():
    inside = gc.isenabled()
    for module in sys.argv[2:]:
        importlib.import_module(module)
{more}
print(json.dumps([sorted(sys.modules), inside, gc.isenabled(), gc.get_freeze_count()]))
"""
OPEN = """
from trt_perception.building.opening import open_built_pipeline
open_built_pipeline(sys.argv[1]).close()
"""

NODES = ('camera_node', 'classify_node', 'detect_node', 'overlay_node', 'segment_node')
UNUSED = {
    'onnx', 'google.protobuf', 'psutil', 'scipy', 'pandas', 'polars', 'torch', 'matplotlib',
    'prometheus_client',
    'pynvml', 'pycuda', 'tensorrt', 'tensorrt_bindings', 'tensorrt_rtx', 'tensorrt_rtx_bindings',
    'rosbags', 'tqdm', 'launch', 'lark', 'em', 'importlib.metadata', 'multiprocessing',
    'trt_perception.scenes.street', 'trt_perception.nodes.launching',
    'trt_perception.building.engines', 'trt_perception.kernels',
}  # fmt: skip
"""What no node needs before its first image, on a machine without a GPU."""

NETWORKS = {
    'onnxruntime',
    'trt_perception.runtime',
    'trt_perception.building',
    'trt_perception.gpu',
}
"""What only nodes with a network need."""


def has_gpu() -> bool:
    """Whether CUDA sees one."""
    try:
        return bool(cuda_gpus())
    except ProbeFailed:
        return False


def started(*modules: str, model: str = '') -> tuple[set[str], bool, bool, int]:
    """The modules that are there then; whether rubbish is looked for, in the block and after it."""
    program = PROGRAM.format(more=OPEN if model else '')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program, model, *modules],
        cwd='/',  # the source tree has no messages in it
        capture_output=True,
        text=True,
        check=True,
    )
    imported, inside, after, frozen = json.loads(done.stdout.splitlines()[-1])
    return set(imported), inside, after, frozen


@pytest.mark.parametrize('node', NODES)
def test_a_node_imports_nothing_that_it_does_not_need(node):
    modules = [f'trt_perception.nodes.{name}' for name in ('starting', 'running', node)]
    imported, *_ = started(*modules)
    assert modules[-1] in imported
    needless = UNUSED if node not in ('camera_node', 'overlay_node') else UNUSED | NETWORKS
    assert not imported & needless


@pytest.mark.skipif(has_gpu(), reason='what a GPU needs is needed here')
def test_a_network_is_opened_with_nothing_that_only_others_need():
    imported, *_ = started(
        'trt_perception.nodes.detect_node', model=str(find_model('street_detect'))
    )
    assert 'onnxruntime' in imported
    assert not imported & UNUSED


def test_the_collector_rests_during_imports_and_passes_over_them_afterwards():
    _, inside, after, frozen = started('rclpy')
    assert (inside, after) == (False, True)
    assert frozen > 10_000


def test_the_generator_of_messages_stays_out_and_may_come_later():
    program = (
        'import sys\n'
        'from trt_perception.nodes.lean_imports import lean_imports\n'
        'with lean_imports():\n'
        '    from std_msgs.msg import Header\n'
        '    Header.__import_type_support__()\n'
        'assert "rosidl_generator_py" in sys.modules, "not imported at all"\n'
        'assert "lark" not in sys.modules\n'
        'import rosidl_generator_py.generate_py_impl\n'
        'assert "lark" in sys.modules\n'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', program], cwd='/', check=True)
