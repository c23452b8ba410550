"""The device pipeline on a real GPU by onnxruntime, compared with the pipeline on the CPU."""

import itertools
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trt_perception.errors import InferenceError
from trt_perception.frames import Frame
from trt_perception.gpu.sharing import acquire_owner, release_owner
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.pipeline.perception import GpuUse, open_pipeline
from trt_perception.runtime.gpu_probes import ProbeFailed, cuda_gpus
from trt_perception.runtime.obstacles import gpu_obstacles, obstacles
from trt_perception.sources.opening import open_source

MODELS = Path(__file__).resolve().parents[2] / 'config' / 'models'
NAMES = ('street_detect', 'street_instance', 'street_semantic')


def lacking():
    try:
        lacks = gpu_obstacles('onnxruntime-cuda', cuda_gpus())
    except ProbeFailed as failed:
        return str(failed)
    return '; '.join([*lacks, *obstacles('onnxruntime-cuda')])


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(lacking()), reason=lacking() or 'a GPU')]


def opened(name, **use):
    pipeline = open_pipeline(
        MODELS / f'{name}.yaml', backend='onnxruntime-cuda', gpu_use=GpuUse(**use)
    )
    assert isinstance(pipeline, DevicePipeline), pipeline.choice.reason
    return pipeline


@pytest.fixture(scope='module')
def frames():
    with open_source('synthetic:5', size=(1280, 720)) as source:
        return list(itertools.islice(source, 6))


def assert_alike(found, expected, name):
    """The network itself rounds differently on a GPU."""
    if name == 'street_semantic':
        assert (found.class_ids == expected.class_ids).mean() > 0.995
        return
    strong = expected.scores > 0.4
    assert abs(len(found) - len(expected)) <= 2
    for box, score, kind in zip(
        expected.boxes[strong], expected.scores[strong], expected.class_ids[strong], strict=True
    ):
        near = np.abs(found.boxes - box).max(axis=1) < 2
        assert (near & (found.class_ids == kind) & (np.abs(found.scores - score) < 0.05)).any()
    if name == 'street_instance':
        same = (found.id_image() > 0) == (expected.id_image() > 0)
        assert same.mean() > 0.99


def test_opening_and_looking_print_nothing(frames, capfd):
    pipeline = opened('street_detect')
    pipeline.process(frames[:1])
    pipeline.close()
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('overlap', [False, True])
def test_gives_what_the_cpu_gives(frames, name, overlap):
    on_cpu = open_pipeline(MODELS / f'{name}.yaml', backend='onnxruntime-cpu')
    pipeline = opened(name, overlap=overlap)
    found = list(pipeline.process_all([frame] for frame in frames))
    for (one,), frame in zip(found, frames, strict=True):
        assert_alike(one.result, on_cpu.process([frame])[0].result, name)
    pipeline.close()


@pytest.mark.parametrize('name', NAMES)
def test_large_frames_of_which_only_some_rows_are_copied(name):
    """In either memory, alone and together with others whose rows are all copied."""
    with open_source('synthetic:5', size=(1920, 1080)) as source:
        large = list(itertools.islice(source, 2))
    small = Frame.from_bgr(np.ascontiguousarray(large[0].data.reshape(1080, 1920, 3)[:700, :1000]))
    on_cpu = open_pipeline(MODELS / f'{name}.yaml', backend='onnxruntime-cpu')
    pipeline = opened(name)
    memory = pipeline.frame_memory(large[1].data.size)
    memory[:] = large[1].data
    mixed = [large[0], small, replace(large[1], data=memory)]
    for batch in ([mixed[0]], [mixed[2]], mixed, mixed[::-1]):
        for frame, one in zip(batch, pipeline.process(batch), strict=True):
            assert_alike(one.result, on_cpu.process([frame])[0].result, name)
    pipeline.close()


@pytest.mark.parametrize('name', NAMES)
def test_a_batch_of_different_sizes_gives_what_its_frames_give_alone(frames, name):
    pipeline = opened(name)
    sizes = [(720, 1280), (360, 640), (333, 501), (720, 64)]
    images = [
        f.data.reshape(720, 1280, 3)[:h, :w] for f, (h, w) in zip(frames, sizes, strict=False)
    ]
    mixed = [Frame.from_bgr(np.ascontiguousarray(image)) for image in images]
    alone = [pipeline.process([frame])[0].result for frame in mixed]
    for one, want in zip(pipeline.process(mixed), alone, strict=True):
        assert_alike(one.result, want, name)
    pipeline.close()


def test_memory_stays_where_it_is_over_frames_of_random_sizes():
    pipeline = opened('street_detect')
    rng = np.random.default_rng(0)
    for height in (1080, 1079):  # of the first, only some rows are copied
        pipeline.process([Frame.from_bgr(np.zeros((height, 1920, 3), np.uint8))])
    free = pipeline._network.owner.call(lambda gpu: gpu.room.free)
    before = pipeline.memory
    for _ in range(500):
        height, width = rng.integers(1, 1080), rng.integers(1, 1920)
        pipeline.process([Frame.from_bgr(np.zeros((height, width, 3), np.uint8))])
    assert pipeline.memory == before
    assert abs(pipeline._network.owner.call(lambda gpu: gpu.room.free) - free) < 1 << 23
    pipeline.close()


@pytest.mark.filterwarnings('error:.*could not be cleaned up')
def test_opening_and_closing_gives_all_memory_back():
    owner = acquire_owner()
    try:
        for _ in range(2):  # what CUDA and onnxruntime keep for good
            opened('street_detect', overlap=True).close()
        free = owner.call(lambda gpu: gpu.room.free)
        for _ in range(5):
            pipeline = opened('street_detect', overlap=True)
            pipeline.submit([Frame.from_bgr(np.zeros((48, 64, 3), np.uint8))])
            pipeline.close()
        assert free - owner.call(lambda gpu: gpu.room.free) < 1 << 23
    finally:
        release_owner(owner)


RUNNING = f"""
import sys, time
sys.path[:0] = {sys.path!r}
import numpy as np
from trt_perception.frames import Frame
from trt_perception.pipeline.perception import GpuUse, open_pipeline
pipeline = open_pipeline(
    {str(MODELS / 'street_detect.yaml')!r}, backend='onnxruntime-cuda', gpu_use=GpuUse(overlap=True)
)
frame = Frame.from_bgr(np.zeros((720, 1280, 3), np.uint8))
print('running', flush=True)
while True:
    pipeline.process([frame])
"""


@pytest.mark.parametrize('wait_s', [0.0, 0.05, 0.3])
def test_ctrl_c_ends_the_process_without_an_abort(wait_s):
    process = subprocess.Popen(
        [sys.executable, '-c', RUNNING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd='/',
    )
    assert process.stdout.readline() == 'running\n', process.stderr.read()
    time.sleep(wait_s)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (1, -signal.SIGINT), errors
    assert errors.strip().endswith('KeyboardInterrupt'), errors
    assert 'PyCUDA' not in errors


FAULT = """
extern "C" __global__ void fault() { *(volatile int *)16 = 1; }
"""


def test_results_and_frames_in_page_locked_memory(frames):
    pipeline = opened('street_semantic')
    plain = [pipeline.process([frame])[0].result.class_ids for frame in frames]
    copies = [ids.copy() for ids in plain]
    locked = []
    for frame in frames:
        memory = pipeline.frame_memory(frame.data.size)
        memory[:] = frame.data
        locked.append(replace(frame, data=memory))
    assert pipeline.memory.pinned_bytes >= sum(frame.data.size for frame in frames)
    for frame, ids in zip(locked, copies, strict=True):
        np.testing.assert_array_equal(pipeline.process([frame])[0].result.class_ids, ids)
    pipeline.close()
    for ids, copy in zip(plain, copies, strict=True):
        np.testing.assert_array_equal(ids, copy)


def test_a_fault_of_the_gpu_ends_neither_the_process_nor_the_work():
    """On the GPU if CUDA lets it be set up anew, else on the CPU, as is allowed here.

    In a process of its own: what the fault leaves behind must not touch other tests.
    """
    begin = RUNNING.split("print('running'")[0].replace('overlap=True', 'cpu_fallback=True')
    code = begin + (
        'from pycuda.compiler import compile as compiled\n'
        'def fault(gpu):\n'
        f'    source, arch = {FAULT!r}, "sm_%d%d" % gpu.capability\n'
        '    cubin = compiled(source, no_extern_c=True, arch=arch, cache_dir=None)\n'
        '    module = gpu.driver.module_from_buffer(cubin)\n'
        '    module.get_function("fault")(grid=(1, 1), block=(1, 1, 1))\n'
        '    gpu.driver.Context.synchronize()\n'
        'before = pipeline.process([frame])\n'
        'try:\n    pipeline._network.owner.call(fault)\n'
        'except Exception as error:\n    print(type(error).__name__, error)\n'
        'for _ in range(2):\n'
        '    try:\n        print(len(pipeline.process([frame])))\n'
        '    except Exception as error:\n        print(type(error).__name__, error)\n'
        'pipeline.close()\n'
        "print('ended')\n"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd='/', timeout=100
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith('DeviceLostError'), (lines, done.stderr)
    assert lines[1].startswith('InferenceError'), (lines, done.stderr)
    assert 'set up anew' in lines[1] or 'goes on on the CPU' in lines[1]
    assert lines[2:] == ['1', 'ended'], (lines, done.stderr)
    assert done.returncode == 0, done.stderr


def test_more_images_than_the_memory_holds_are_refused(frames):
    pipeline = opened('street_detect')
    owner = pipeline._network.owner
    filler = owner.call(lambda gpu: gpu.buffers())
    room = owner.call(lambda gpu: gpu.room.free)
    owner.call(lambda gpu: filler.device('filler', room - (24 << 20)) and None)
    with pytest.raises(InferenceError, match='no room'):
        pipeline.process([Frame.from_bgr(np.zeros((4320, 7680, 3), np.uint8))])
    assert len(pipeline.process([frames[0]])) == 1
    owner.call(lambda gpu: gpu.release(filler))
    pipeline.close()
