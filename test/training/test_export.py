"""From rendered scenes over a few training steps to a file that the pipeline runs."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

torch = pytest.importorskip('torch', reason='needs PyTorch: training/README.md')

from training.export import Exported, compare, export  # noqa: E402
from training.train import Training  # noqa: E402
from trt_perception.frames import Frame  # noqa: E402
from trt_perception.pipeline.perception import open_pipeline  # noqa: E402
from trt_perception.results import Detections, SegmentationMap  # noqa: E402
from trt_perception.scenes import SEMANTIC_CLASSES, THING_CLASSES  # noqa: E402

TASKS = ('detect', 'instance', 'semantic')


def untrained(task, folder, seed=4):
    training = Training(task, torch.device('cpu'), 2e-3, seed)
    training.save(folder / 'checkpoint.pt')
    return folder / 'checkpoint.pt'


@pytest.fixture(scope='module', params=TASKS)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    export(untrained(request.param, folder), folder / 'network.onnx')
    return request.param, folder / 'network.onnx'


def test_the_file_says_what_it_is(exported):
    task, path = exported
    model = onnx.load(str(path))
    assert [entry.version for entry in model.opset_import if not entry.domain] == [17]
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == 'batch'
    assert all(node.name for node in model.graph.node)
    assert 'BatchNormalization' not in {node.op_type for node in model.graph.node}
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    names = SEMANTIC_CLASSES if task == 'semantic' else THING_CLASSES
    assert json.loads(metadata['names']) == list(names)
    assert metadata['task'] == task
    assert (metadata['seed'], metadata['steps']) == ('4', '0')
    assert path.stat().st_size <= 4_000_000


def test_another_network_does_not_pass_the_comparison(exported):
    task, path = exported
    other = Exported(Training(task, torch.device('cpu'), 2e-3, seed=5).average)
    with pytest.raises(AssertionError):
        compare(other, path)


def test_the_pipeline_runs_the_file_without_more_said(exported, tmp_path):
    """A YAML file that only names the ONNX file: all else comes from its metadata."""
    task, path = exported
    (tmp_path / 'model.yaml').write_text(f'onnx: {path}\n')
    pipeline = open_pipeline(tmp_path / 'model.yaml')
    assert pipeline.spec.task == task
    assert pipeline.spec.input.size == (640, 384)
    image = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    frames = [Frame.from_bgr(image), Frame.from_bgr(image[:, ::-1].copy())]
    for one in pipeline.process(frames):
        assert one.result.size == (640, 360)
        assert isinstance(one.result, SegmentationMap if task == 'semantic' else Detections)
    pipeline.close()


def test_from_scenes_to_the_pipeline_by_the_documented_commands(data, tmp_path, from_root):
    runs, path = tmp_path / 'runs', tmp_path / 'street.onnx'
    done = from_root(
        'training.train', 'detect', '--data', data, '--out', runs, '--steps', 2, '--batch', 1,
        '--device', 'cpu', '--seed', 7,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = from_root('training.export', runs / 'checkpoint.pt', path)
    assert done.returncode == 0, done.stderr
    assert 'street.onnx' in done.stdout
    metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert (metadata['seed'], metadata['steps']) == ('7', '2')
    (tmp_path / 'street.yaml').write_text('onnx: street.onnx\n')
    done = from_root('training.evaluate', tmp_path / 'street.yaml', '--scenes', 1)
    assert done.returncode == 0, done.stderr
    # Two steps teach nothing; what counts is that a figure comes out.
    assert 0 <= json.loads(done.stdout)['bbox']['map50'] < 0.5
