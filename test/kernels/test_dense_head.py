from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.decoding import candidates
from trt_perception.decoding.dense import DenseDecoder
from trt_perception.kernels.dense_head import (
    MOST_CLASSES,
    MOST_DETECTIONS,
    DenseHeadKernels,
    HeadLayout,
)
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

NETWORK = (640, 384)
BOXES = Letterbox.fit((1920, 1080), NETWORK)
WIDE = Letterbox.fit((40000, 40000), (40000, 40000))
SPECIAL = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40, -0.0)


def model(classes, task='detect'):
    named = tuple(ClassSpec(f'class {i}') for i in range(classes))
    return ModelSpec(
        name='m',
        onnx=Path('m'),
        family='yolov8',
        task=task,
        input=InputSpec(NETWORK),
        classes=named,
    )


def reference(layout, predictions, letterboxes, thresholds):
    """What the CPU finds."""
    points = (layout.extras // 2, 2) if layout.extras else None
    decoder = DenseDecoder(
        model(layout.classes, 'pose' if points else 'detect'),
        [TensorSpec('output0', layout.dtype, predictions.shape)],
        objectness=layout.objectness,
        classes_scored=layout.classes_scored,
        key_point_shape=points,
    )
    with np.errstate(all='ignore'):
        return decoder.decode({'output0': predictions}, letterboxes, thresholds)


def decoded(executor, layout, predictions, letterboxes, thresholds):
    kernels = DenseHeadKernels(executor, layout)
    batch = len(letterboxes)
    source = executor.upload(predictions)
    scratch = executor.allocate(kernels.scratch_bytes(batch))
    result = executor.allocate(kernels.result_bytes(batch))
    kernels.enqueue(source, letterboxes, thresholds, scratch, result, executor.stream)
    executor.check_rim(scratch)
    copied = executor.download(result, np.uint8, kernels.result_bytes(batch))
    executor.free()
    return kernels.read(copied, batch)


def check(executor, layout, predictions, letterboxes=(BOXES,), thresholds=None):
    """The kernels find what the CPU finds, number by number. Gives the number of objects."""
    thresholds = thresholds or DecodeSettings()
    predictions = np.ascontiguousarray(predictions, layout.dtype)
    found = decoded(executor, layout, predictions, letterboxes, thresholds)
    expected = reference(layout, predictions, letterboxes, thresholds)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.anchors.shape, theirs.scores.shape)
        np.testing.assert_array_equal(mine.scores, theirs.scores)
        np.testing.assert_array_equal(mine.class_ids, theirs.class_ids)
        np.testing.assert_array_equal(mine.boxes, theirs.boxes)
    return [len(mine.scores) for mine in found]


def scene(layout, seed=0, *, batch=1, share=0.3, crowd=100.0, grid=0.0):
    """Random predictions: `share` of the anchors score, in clusters of `crowd` pixels."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((batch, layout.anchors, layout.values), np.float32)
    rows[..., :2] = rng.random((batch, layout.anchors, 2)) * crowd + rng.random(2) * 300
    rows[..., 2:4] = rng.random((batch, layout.anchors, 2)) * 80 + 1
    scores = rows[..., 4:]
    scores[:] = rng.random(scores.shape) * (rng.random(scores.shape[:2]) < share)[..., None]
    if grid:
        rows = np.round(rows / grid) * grid
    return rows if layout.objectness else rows.transpose(0, 2, 1)


LAYOUTS = [
    HeadLayout(500, 3),
    HeadLayout(300, 1),
    HeadLayout(257, 80, dtype=np.dtype(np.float16)),
    HeadLayout(400, 5, objectness=True),
    HeadLayout(333, 80, objectness=True, dtype=np.dtype(np.float16)),
    HeadLayout(100, 1, objectness=True, classes_scored=False),
    HeadLayout(200, 2, extras=4, extra_limit=1e30),
]


@pytest.mark.parametrize('layout', LAYOUTS)
def test_nothing_scores(executor, layout):
    assert check(executor, layout, np.zeros_like(scene(layout))) == [0]


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout(executor, layout):
    assert check(executor, layout, scene(layout))[0] > 5


@pytest.mark.parametrize('layout', LAYOUTS)
def test_numbers_that_are_not_finite(executor, layout):
    rng = np.random.default_rng(1)
    predictions = scene(layout, grid=0.25).astype(layout.dtype)
    damaged = rng.random(predictions.shape) < 0.02
    with np.errstate(over='ignore'):
        predictions[damaged] = rng.choice(SPECIAL, damaged.sum())
    check(executor, layout, predictions, thresholds=DecodeSettings(score=0.0))


def test_a_batch_of_several_cameras(executor):
    layout = HeadLayout(300, 4)
    sizes = [(1920, 1080), (1, 1), (333, 999), (640, 384)]
    letterboxes = [Letterbox.fit(size, NETWORK) for size in sizes]
    found = check(executor, layout, scene(layout, batch=4, crowd=600.0), letterboxes)
    assert min(found) > 0


@pytest.mark.parametrize('score', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('iou', [0.0, 0.5, 1.0])
def test_equal_scores_and_boxes(executor, score, iou):
    layout = HeadLayout(600, 2)
    predictions = scene(layout, grid=0.5)
    predictions[:, :4] = np.round(predictions[:, :4] / 20) * 20
    check(executor, layout, predictions, thresholds=DecodeSettings(score, iou))


@pytest.mark.parametrize('seed', range(8))
def test_an_overlap_of_just_the_limit(executor, seed):
    layout = HeadLayout(2, 1)
    predictions = np.zeros((1, 5, 2), np.float32)
    predictions[0, :4] = np.random.default_rng(seed).random((4, 2)) * 7 + [
        [200],
        [150],
        [385],
        [285],
    ]
    predictions[0, 4] = 0.9, 0.8
    one, other = candidates.corners(predictions[0, :4].T).astype(np.float64)
    shared = np.prod(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]))
    area = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    iou = float(shared / (area - shared))
    for limit, count in [(iou, 2), (float(np.nextafter(iou, 0)), 1)]:
        assert check(executor, layout, predictions, thresholds=DecodeSettings(0.1, limit)) == [
            count
        ]


@pytest.mark.parametrize('size', [1e-30, 1e-12, 1.0, 1e12, 1.8e19, 1e25])
def test_boxes_whose_areas_float32_does_not_hold(executor, size):
    """Three in a row, each of which covers 9/11 of its neighbour."""
    predictions = np.zeros((1, 5, 3), np.float32)
    predictions[0, 0] = np.array([0, 0.1, 0.2]) * size
    predictions[0, 2:4] = size
    predictions[0, 4] = 0.9, 0.8, 0.7
    for limit, count in [(0.5, 1), (0.8, 2), (0.9, 3)]:
        chosen = DecodeSettings(0.1, limit)
        assert check(executor, HeadLayout(3, 1), predictions, [WIDE], chosen) == [count]


def test_scores_above_one_count_as_one(executor):
    layout = HeadLayout(200, 3)
    predictions = scene(layout)
    predictions[:, 4:] *= 3
    check(executor, layout, predictions)


@pytest.mark.parametrize('wanted', [set(), {0}, {1, 2}, {39}, {500}])
def test_a_class_filter(executor, wanted):
    layout = HeadLayout(400, 40)
    chosen = DecodeSettings(class_filter=frozenset(wanted))
    check(executor, layout, scene(layout), thresholds=chosen)


@pytest.mark.parametrize('most', [1, 2, 255, 256, 257, MOST_DETECTIONS])
def test_the_greatest_number_of_objects(executor, most):
    layout = HeadLayout(1500, 1)
    apart = scene(layout, share=1.0, crowd=30000.0)
    found = check(executor, layout, apart, [WIDE], DecodeSettings(0.01, 0.9, most))
    assert found == [most]


@pytest.mark.parametrize('count', [1, 2, 3, 255, 1023, 1024, 1025, 2048, 2049, 3500])
def test_candidates_of_one_and_of_several_chunks(executor, count):
    """Many of equal score, so that the anchor decides."""
    layout = HeadLayout(count, 1)
    predictions = scene(layout, share=1.0, crowd=300.0, grid=0.125)
    predictions[:, 4] = np.maximum(predictions[:, 4], 0.125)
    check(executor, layout, predictions, [WIDE], DecodeSettings(0.1, 0.7, 1000))


def test_more_objects_than_there_is_room_for_are_refused(executor):
    kernels = DenseHeadKernels(executor, HeadLayout(10, 1))
    asked = DecodeSettings(max_detections=MOST_DETECTIONS + 1)
    with pytest.raises(ValueError, match='max_detections'):
        kernels.enqueue(0, [BOXES], asked, 0, 0, executor.stream)


def test_more_classes_than_there_is_room_for_are_refused(executor):
    with pytest.raises(ValueError, match='classes'):
        DenseHeadKernels(executor, HeadLayout(10, MOST_CLASSES + 1))


@pytest.mark.parametrize('objectness', [False, True])
@pytest.mark.parametrize('most', [1, 40, 299, 300])
def test_more_candidates_than_may_be(executor, monkeypatch, most, objectness):
    monkeypatch.setattr(candidates, 'MAX_CANDIDATES', most)
    layout = HeadLayout(900, 3, objectness=objectness, most_candidates=most)
    check(executor, layout, scene(layout, share=0.9))
    check(executor, layout, scene(layout, grid=0.5))
    chosen = DecodeSettings(0.1, class_filter=frozenset({1}))
    check(executor, layout, scene(layout, batch=2), [BOXES] * 2, chosen)


def test_thirty_thousand_candidates_and_more(executor):
    layout = HeadLayout(candidates.MAX_CANDIDATES + 3000, 2)
    crowded = scene(layout, share=1.0, crowd=600.0, grid=0.001)
    assert check(executor, layout, crowded, [WIDE], DecodeSettings(0.01, 0.3))[0] > 20


def test_extras_come_back_with_their_objects(executor):
    layout = HeadLayout(300, 2, extras=7, copied_extras=True, extra_limit=1e30)
    predictions = scene(layout, batch=2)
    found = decoded(executor, layout, predictions, [BOXES] * 2, DecodeSettings())
    for image, objects in zip(predictions, found, strict=True):
        assert len(objects.anchors)
        np.testing.assert_array_equal(objects.extras, image[6:, objects.anchors].T)


@given(
    anchors=st.integers(1, 700),
    classes=st.integers(1, 12),
    objectness=st.booleans(),
    half=st.booleans(),
    share=st.floats(0, 1),
    grid=st.sampled_from([0.0, 0.125, 1.0]),
    score=st.floats(0, 1),
    iou=st.floats(0, 1),
    most=st.integers(1, 400),
    source=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    special=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_any_predictions(
    executor,
    anchors,
    classes,
    objectness,
    half,
    share,
    grid,
    score,
    iou,
    most,
    source,
    special,
    seed,
):
    dtype = np.dtype(np.float16 if half else np.float32)
    layout = HeadLayout(anchors, classes, objectness=objectness, dtype=dtype)
    predictions = scene(layout, seed, share=share, grid=grid, crowd=400.0).astype(dtype)
    rng = np.random.default_rng(seed)
    if special:
        damaged = rng.random(predictions.shape) < 0.01
        with np.errstate(over='ignore'):
            predictions[damaged] = rng.choice(SPECIAL, damaged.sum())
    placed = [Letterbox.fit(source, NETWORK)]
    check(executor, layout, predictions, placed, DecodeSettings(score, iou, most))
