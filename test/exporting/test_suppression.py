"""Suppression in the graph keeps what the greedy one keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from trt_perception.building.precision import prepare_graph
from trt_perception.building.tensorrt_builder import BuildOptions, build_plan
from trt_perception.decoding.suppression import suppress
from trt_perception.errors import BackendUnavailableError, ExportError
from trt_perception.exporting.comparison import outputs_of
from trt_perception.exporting.suppression import SuppressionOptions, add_suppression
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.onnx_file import read_onnx
from trt_perception.runtime.tensorrt_flavour import find_flavour

CLASSES = 3
ANCHORS = 500


def spec_of(family='yolov8', task='detect', classes=CLASSES, **options) -> ModelSpec:
    return ModelSpec(
        name='m',
        onnx=Path('m.onnx'),
        family=family,
        task=task,
        input=InputSpec(size=(640, 640)),
        classes=tuple(ClassSpec(name=f'c{i}') for i in range(classes)),
        options=options,
    )


def bare(path: Path, rows: int, anchors: int, opset: int = 17) -> Path:
    """A network that hands on what it is given: raw predictions instead of an image."""
    shape = ['batch', rows, anchors]
    graph = helper.make_graph(
        [helper.make_node('Identity', ['raw'], ['output0'], 'same')],
        'bare',
        [helper.make_tensor_value_info('raw', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info('output0', TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid('', opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


USUAL = SuppressionOptions()


def suppressing(path: Path, spec: ModelSpec, options=USUAL) -> Path:
    model = onnx.load(path)
    add_suppression(model, read_onnx(path), spec, options)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True), True)
    onnx.save(model, path)
    return path


def scene(seed: int, anchors: int = ANCHORS) -> np.ndarray:
    """float32 [4 + classes, anchors]: objects seen by many anchors each, some side by side."""
    random = np.random.default_rng(seed)
    objects = random.integers(1, 60)
    places = random.uniform(40, 600, (objects, 2))
    if seed % 3 == 0:  # a row in which each overlaps the next
        places = np.stack([100 + np.arange(objects) * 9.0, np.full(objects, 300.0)], axis=1)
    sizes = random.uniform(12, 160, (objects, 2))
    if seed % 3 == 0:
        sizes = np.full((objects, 2), 50.0)
    owner = random.integers(0, objects, anchors)
    boxes = np.concatenate([places[owner], sizes[owner]], axis=1)
    boxes += random.normal(0, 2.0, boxes.shape)
    boxes[:, 2:] = boxes[:, 2:].clip(1)
    scores = random.uniform(0, 0.2, (anchors, CLASSES))
    classes = random.integers(0, CLASSES, objects)[owner]
    # Scores that differ: which of equals comes first is nobody's promise.
    scores[np.arange(anchors), classes] = random.permutation(anchors) / anchors * 0.9 + 0.05
    return np.concatenate([boxes, scores], axis=1).T.astype(np.float32)


def greedy(prediction: np.ndarray, iou: float, score: float) -> np.ndarray:
    """float32 [N, 6] that greedy suppression of the anchors with the best 300 scores keeps."""
    scores = prediction[4:].max(axis=0)
    anchors = np.argsort(-scores, kind='stable')[:300]
    anchors = anchors[scores[anchors] >= score]
    x, y, w, h = prediction[:4, anchors]
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1).astype(np.float32)
    classes = prediction[4:, anchors].argmax(axis=0)
    kept = suppress(corners, scores[anchors], classes, iou, 300)
    return np.column_stack([corners, scores[anchors], classes])[kept]


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    path = bare(tmp_path_factory.mktemp('n') / 'net.onnx', 4 + CLASSES, ANCHORS)
    return suppressing(path, spec_of())


def test_nothing_found_gives_no_score(network):
    output = outputs_of(network, np.zeros((1, 4 + CLASSES, ANCHORS), np.float32))['output0']
    assert output.shape == (1, 300, 6)
    assert (output[:, :, 4] == 0).all()


@pytest.mark.parametrize('score', [0.05, 0.4])
def test_sixty_scenes_are_those_of_the_greedy_way(network, score):
    scenes = np.stack([scene(seed) for seed in range(60)])
    found = outputs_of(network, scenes)['output0']
    fewer = 0
    for prediction, rows in zip(scenes, found, strict=True):
        wanted = greedy(prediction, 0.6, score)
        kept = rows[rows[:, 4] >= score]
        np.testing.assert_allclose(kept, wanted, atol=1e-3)
        fewer += len(wanted) < 300
    assert fewer > 50


def test_one_round_keeps_too_few(tmp_path):
    """So the rounds are what makes it right."""
    once = SuppressionOptions(rounds=1)
    path = suppressing(bare(tmp_path / 'n.onnx', 4 + CLASSES, ANCHORS), spec_of(), once)
    prediction = scene(3)
    rows = outputs_of(path, prediction[None])['output0'][0]
    assert (rows[:, 4] >= 0.05).sum() < len(greedy(prediction, 0.6, 0.05))


@pytest.mark.parametrize('opset', [13, 18])
@pytest.mark.parametrize('family', ['yolov5', 'yolov7', 'yolox'])
def test_outputs_with_objectness(tmp_path, family, opset):
    spec = spec_of(family, decoded=True) if family == 'yolox' else spec_of(family)
    path = suppressing(bare(tmp_path / 'n.onnx', ANCHORS, 5 + CLASSES, opset), spec)
    prediction = scene(7)
    objectness = np.random.default_rng(0).uniform(0.3, 1, ANCHORS).astype(np.float32)
    raw = np.concatenate([prediction[:4], objectness[None], prediction[4:]]).T
    rows = outputs_of(path, raw[None])['output0'][0]
    prediction[4:] *= objectness
    np.testing.assert_allclose(rows[rows[:, 4] > 0.05], greedy(prediction, 0.6, 0.05), atol=1e-3)


def test_fewer_anchors_than_candidates(tmp_path):
    path = suppressing(bare(tmp_path / 'n.onnx', 4 + CLASSES, 20), spec_of())
    rows = outputs_of(path, scene(1, 20)[None])['output0'][0]
    assert rows.shape == (20, 6)
    np.testing.assert_allclose(rows[rows[:, 4] > 0], greedy(scene(1, 20), 0.6, 0), atol=1e-3)


@pytest.mark.parametrize(
    ('spec', 'words'),
    [
        (spec_of(task='instance'), 'this is yolov8 instance'),
        (spec_of('semantic', 'semantic'), 'this is semantic semantic'),
        (spec_of('yolox'), 'not decoded'),
    ],
)
def test_what_it_is_not_for(tmp_path, spec, words):
    with pytest.raises(ExportError, match=words):
        suppressing(bare(tmp_path / 'n.onnx', 7, 20), spec)


def test_open_anchors_are_refused(tmp_path):
    with pytest.raises(ExportError, match='fixed input size'):
        suppressing(bare(tmp_path / 'n.onnx', 7, 'anchors'), spec_of())


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_tensorrt_builds_it(tmp_path, precision):
    try:
        rtx = find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    path = suppressing(detector(tmp_path / 'net.onnx'), spec_of())
    graph = prepare_graph(path, precision)
    assert build_plan(rtx, graph.model, BuildOptions(targets=('8.6',)), origin='net').plan
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph.model))
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    overlaps = [
        kinds[n.output[0]] for n in inferred.graph.node if n.name.startswith('/suppression/Mul')
    ]
    # Pixels, and areas above all, do not fit into float16.
    assert overlaps
    assert set(overlaps) == {TensorProto.FLOAT}


def detector(path: Path) -> Path:
    """One convolution with boxes in pixels behind it, as the head of a YOLOv8 network has them."""
    random = np.random.default_rng(0)
    weights = {
        'w': random.normal(0, 0.1, (4 + CLASSES, 3, 8, 8)).astype(np.float32),
        'shape': np.array([0, 0, -1], np.int64),
        'stride': np.full((1, 4, 1), 8, np.float32),
        'parts': np.array([4, CLASSES], np.int64),
    }
    nodes = [
        helper.make_node('Conv', ['images', 'w'], ['c'], 'conv', strides=[8, 8]),
        helper.make_node('Reshape', ['c', 'shape'], ['r'], 'flat'),
        helper.make_node('Split', ['r', 'parts'], ['b', 's'], 'split', axis=1),
        helper.make_node('Mul', ['b', 'stride'], ['boxes'], 'pixels'),
        helper.make_node('Sigmoid', ['s'], ['scores'], 'sigmoid'),
        helper.make_node('Concat', ['boxes', 'scores'], ['output0'], 'join', axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        'detector',
        [helper.make_tensor_value_info('images', TensorProto.FLOAT, [1, 3, 192, 192])],
        [helper.make_tensor_value_info('output0', TensorProto.FLOAT, [1, 4 + CLASSES, 576])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
