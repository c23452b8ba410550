from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.decoding import candidates
from trt_perception.decoding.instance_masks import instance_masks
from trt_perception.decoding.suppression import suppress
from trt_perception.decoding.yolov8 import Yolov8Decoder
from trt_perception.errors import ModelOutputError
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

NETWORK = (640, 384)
FULL_HD = Letterbox.fit((1920, 1080), NETWORK)
ASPECTS = [(1920, 1080), (640, 480), (1080, 1920), (500, 500), (2560, 720)]
FLOAT = np.dtype(np.float32)


def decoder(classes=3, coefficients=0, dtype=FLOAT):
    spec = ModelSpec(
        name='model',
        onnx=Path('model.onnx'),
        family='yolov8',
        task='instance' if coefficients else 'detect',
        input=InputSpec(size=NETWORK),
        classes=tuple(ClassSpec(name=f'class {i}') for i in range(classes)),
    )
    outputs = [TensorSpec('output0', dtype, (-1, 4 + classes + coefficients, -1))]
    if coefficients:
        outputs.append(TensorSpec('output1', dtype, (-1, coefficients, -1, -1)))
    return Yolov8Decoder(spec, outputs)


def output_of(*objects, classes=3, anchors=50):
    """float32 [1, 4 + classes, anchors] from (centre x, centre y, w, h, *scores)."""
    output = np.zeros((1, 4 + classes, anchors), np.float32)
    output[0, 2:4] = 1
    for anchor, values in enumerate(objects):
        output[0, :, anchor] = values
    return output


def detect(output, letterbox=FULL_HD, **settings):
    classes = output.shape[1] - 4
    (found,) = decoder(classes).decode({'output0': output}, [letterbox], DecodeSettings(**settings))
    return found


def test_nothing_found():
    found = detect(output_of())
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.size == (1920, 1080)
    assert found.masks is None


def test_no_anchors_at_all():
    assert len(detect(output_of(anchors=0))) == 0


def test_an_object_in_source_pixels():
    found = detect(output_of((320, 192, 100, 60, 0.1, 0.75, 0.2)))
    assert found.boxes.tolist() == [[810, 450, 1110, 630]]
    assert found.scores.tolist() == [0.75]
    assert found.class_ids.tolist() == [1]
    assert [a.dtype for a in (found.boxes, found.scores, found.class_ids)] == ['f4', 'f4', 'i8']


@pytest.mark.parametrize('source', ASPECTS)
@given(data=st.data())
@settings(max_examples=25)
def test_boxes_come_back_within_half_a_pixel(source, data):
    letterbox = Letterbox.fit(source, NETWORK)
    low = np.array(data.draw(st.tuples(st.floats(0, 0.8), st.floats(0, 0.8))))
    box = np.concatenate([low, low + 0.2]) * (source * 2)
    x1, y1, x2, y2 = letterbox.to_network(box)
    output = output_of(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0, 0, 0.9))
    assert np.abs(detect(output, letterbox).boxes[0] - box).max() <= 0.5


def test_falling_scores_and_class_aware_suppression():
    found = detect(
        output_of(
            (100, 100, 50, 50, 0.5, 0, 0),
            (101, 100, 50, 50, 0.9, 0, 0),
            (100, 100, 50, 50, 0, 0.7, 0),
            (300, 100, 50, 50, 0.6, 0, 0),
        )
    )
    assert found.scores == pytest.approx([0.9, 0.7, 0.6])
    assert found.class_ids.tolist() == [0, 1, 0]


def test_a_score_of_just_the_threshold_stays():
    output = output_of((100, 100, 50, 50, 0.5, 0, 0), (300, 100, 50, 50, 0.49, 0, 0))
    assert detect(output, score=0.5).scores.tolist() == [0.5]


def test_scores_above_one_are_one():
    output = output_of((100, 100, 50, 50, 1.0001, 0, 0))
    assert detect(output).scores.tolist() == [1]


def test_the_first_of_equal_classes():
    assert detect(output_of((100, 100, 50, 50, 0.3, 0.5, 0.5))).class_ids.tolist() == [1]


def test_the_filter_comes_before_suppression_and_never_relabels():
    output = output_of((100, 100, 50, 50, 0.9, 0.8, 0), (100, 100, 50, 50, 0, 0.7, 0))
    found = detect(output, class_filter=frozenset({1}))
    assert found.scores == pytest.approx([0.7])
    assert len(detect(output, class_filter=frozenset({2}))) == 0


def test_a_filtered_class_takes_no_place():
    output = output_of((100, 100, 50, 50, 0.9, 0, 0), (300, 100, 50, 50, 0, 0.7, 0))
    found = detect(output, class_filter=frozenset({1}), max_detections=1)
    assert found.class_ids.tolist() == [1]


def test_boxes_are_clipped_and_those_outside_dropped():
    found = detect(
        output_of(
            (0, 12, 60, 60, 0.9, 0, 0),
            (320, 2, 50, 6, 0.8, 0, 0),  # in the padding above the image
            (-300, 100, 50, 50, 0.7, 0, 0),
            (320, 100, 0, 50, 0.7, 0, 0),
            (320, 100, 50, -1, 0.7, 0, 0),
        )
    )
    assert found.boxes.tolist() == [[0, 0, 90, 90]]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('row', range(7))
def test_numbers_that_are_not_finite_never_reach_a_result(bad, row):
    output = output_of((100, 100, 50, 50, 0.9, 0.1, 0.1), (300, 100, 50, 50, 0.5, 0, 0))
    output[0, row, 0] = bad
    found = detect(output, score=0.0)
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
    assert 0.5 in found.scores
    # A class that is surely absent takes nothing away from the others.
    assert (np.float32(0.9) in found.scores) == (bad == -np.inf and row in (5, 6))


def test_an_output_of_nothing_but_nan():
    assert len(detect(np.full((1, 7, 8400), np.nan, np.float32), score=0.0)) == 0


def test_a_thousand_detections():
    x, y = np.meshgrid(np.arange(40) * 16 + 8, np.arange(25) * 14 + 20)
    objects = [(a, b, 10, 10, 0, 0, 0.9) for a, b in zip(x.flat, y.flat, strict=True)]
    output = output_of(*objects, anchors=8400)
    assert len(detect(output, max_detections=2000)) == 1000
    assert len(detect(output)) == 300


def test_more_candidates_than_enter_suppression(monkeypatch):
    monkeypatch.setattr(candidates, 'MAX_CANDIDATES', 5)
    objects = [(20 + 30 * i, 100, 20, 20, 0.3 + i / 30, 0, 0) for i in range(20)]
    found = detect(output_of(*objects))
    assert found.scores == pytest.approx([0.3 + i / 30 for i in (19, 18, 17, 16, 15)])


def test_float16_outputs():
    output = output_of((320, 192, 100, 60, 0.1, 0.75, 0.2)).astype(np.float16)
    (found,) = decoder(dtype=np.dtype(np.float16)).decode(
        {'output0': output}, [FULL_HD], DecodeSettings()
    )
    assert found.boxes.dtype == np.float32
    assert found.boxes.tolist() == [[810, 450, 1110, 630]]


def test_a_batch_of_two_sources():
    first = output_of((320, 192, 100, 60, 0.1, 0.75, 0.2))
    second = output_of((320, 192, 64, 48, 0.8, 0, 0), (100, 192, 64, 48, 0.7, 0, 0))
    letterboxes = [FULL_HD, Letterbox.fit((640, 480), NETWORK)]
    outputs = {'output0': np.concatenate([first, second])}
    one, two = decoder().decode(outputs, letterboxes, DecodeSettings())
    assert one.size == (1920, 1080)
    assert one.boxes.tolist() == [[810, 450, 1110, 630]]
    assert two.size == (640, 480)
    assert two.boxes[0].tolist() == [280, 210, 360, 270]
    assert len(two) == 2


def test_a_batch_may_be_filled_up():
    outputs = {'output0': np.concatenate([output_of((320, 192, 9, 9, 0.9, 0, 0))] * 4)}
    assert len(decoder().decode(outputs, [FULL_HD], DecodeSettings())) == 1


def random_outputs(seed, classes=3, coefficients=8):
    rng = np.random.default_rng(seed)
    output = np.zeros((1, 4 + classes + coefficients, 200), np.float32)
    # Centres outside the padding, so that every box has a part in the image.
    output[0, :2] = rng.random((2, 200)) * [[640], [360]] + [[0], [12]]
    output[0, 2:4] = rng.random((2, 200)) * 120
    output[0, 4 : 4 + classes] = rng.random((classes, 200))
    output[0, 4 + classes :] = rng.standard_normal((coefficients, 200))
    prototypes = rng.standard_normal((1, coefficients, 24, 40)).astype(np.float32)
    return output, prototypes


@pytest.mark.parametrize('seed', range(5))
def test_instances_as_anchor_by_anchor(seed):
    output, prototypes = random_outputs(seed)
    (found,) = decoder(coefficients=8).decode(
        {'output0': output, 'output1': prototypes}, [FULL_HD], DecodeSettings(0.6, 0.5, 20)
    )
    rows = output[0].T
    best = rows[:, 4:7].max(axis=1)
    anchors = np.flatnonzero(best >= 0.6)
    half = rows[:, 2:4] / 2
    boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1)[anchors]
    class_ids = rows[anchors, 4:7].argmax(axis=1)
    kept = suppress(boxes, best[anchors], class_ids, 0.5, 20)
    assert found.scores.tolist() == best[anchors][kept].tolist()
    assert found.class_ids.tolist() == class_ids[kept].tolist()
    assert np.array_equal(found.boxes, FULL_HD.to_source(boxes[kept]))
    expected = instance_masks(prototypes[0], rows[anchors[kept], 7:], boxes[kept], FULL_HD)
    assert len(found.masks) == len(found)
    for mask, other in zip(found.masks, expected, strict=True):
        assert (mask.x, mask.y) == (other.x, other.y)
        assert np.array_equal(mask.bits, other.bits)


def test_no_instances():
    outputs = {'output0': np.zeros((1, 15, 9), 'f4'), 'output1': np.zeros((1, 8, 24, 40), 'f4')}
    (found,) = decoder(coefficients=8).decode(outputs, [FULL_HD], DecodeSettings())
    assert len(found) == 0
    assert found.masks == []


def test_an_instance_with_a_coefficient_that_is_not_finite_is_dropped():
    output, prototypes = random_outputs(0)
    outputs = {'output0': output, 'output1': prototypes}
    every = DecodeSettings(0.0, 1.0, 1000)
    (before,) = decoder(coefficients=8).decode(outputs, [FULL_HD], every)
    output[0, 9, 17] = np.nan
    (after,) = decoder(coefficients=8).decode(outputs, [FULL_HD], every)
    assert len(after) == len(before) - 1


@pytest.mark.parametrize(
    ('outputs', 'text'),
    [
        ({}, 'no output'),
        ({'other': np.zeros((1, 7, 9), 'f4')}, 'it returned: other'),
        ({'output0': np.zeros((7, 9), 'f4')}, '3 axes'),
        ({'output0': np.zeros((0, 7, 9), 'f4')}, 'at least 1 images'),
        ({'output0': np.zeros((1, 8, 9), 'f4')}, 'lists 3 classes'),
        ({'output0': np.zeros((1, 9, 7), 'f4')}, 'transposed'),
    ],
)
def test_a_batch_that_does_not_fit(outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder().decode(outputs, [FULL_HD], DecodeSettings())
