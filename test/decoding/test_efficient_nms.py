import numpy as np
import pytest

from decoding_cases import (
    CLASSES,
    KINDS,
    SQUARE,
    boxes_of,
    cases,
    check_same,
    damage,
    decode,
    model,
    specs_of,
)
from plain_decoding import Proposal, plain_objects
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

OBJECTS = 20


@pytest.mark.parametrize('names', ['det', 'detection'])
@pytest.mark.parametrize('kind', KINDS)
def test_the_objects_that_the_graph_chose(kind, names):
    for rng, letterbox, settings in cases(kind):
        centres = boxes_of(kind, rng, OBJECTS)
        half = centres[:, 2:] / 2
        corners = [centres[:, :2] - half, centres[:, :2] + half]
        boxes = damage(kind, rng, np.concatenate(corners, axis=1))
        scores = damage(kind, rng, np.sort(rng.random(OBJECTS))[::-1])
        classes = rng.integers(0, CLASSES, OBJECTS).astype(np.int32)
        count = int(rng.integers(0, OBJECTS + 1))
        # What lies beyond the count means nothing.
        boxes[count:], scores[count:], classes[count:] = 5, 1, 99
        proposals = [
            Proposal(tuple(box), score, int(class_id))
            for box, score, class_id in zip(
                boxes[:count].astype(np.float64),
                scores[:count].astype(float),
                classes,
                strict=False,
            )
        ]
        outputs = {
            'num_dets' if names == 'det' else 'num_detections': np.array([count], np.int32),
            f'{names}_boxes': boxes,
            f'{names}_scores': scores,
            f'{names}_classes': classes,
        }
        result = decode(model('efficient_nms'), letterbox, settings, **outputs)
        check_same(result, plain_objects(proposals, letterbox, settings, suppressed=False))


def files(**changes):
    shapes = {
        'num_dets': ((1, 1), 'i4'),
        'det_boxes': ((1, 100, 4), 'f4'),
        'det_scores': ((1, 100), 'f4'),
        'det_classes': ((1, 100), 'i4'),
    } | changes
    return [TensorSpec(n, np.dtype(d), s) for n, (s, d) in shapes.items()]


@pytest.mark.parametrize('count', [0, -1])
def test_no_objects(count):
    found = decode(
        model('efficient_nms'),
        SQUARE,
        DecodeSettings(),
        num_dets=np.array([count], np.int32),
        det_boxes=np.full((5, 4), 9, np.float16),
        det_scores=np.ones(5, np.float16),
        det_classes=np.zeros(5, np.int32),
    )
    assert len(found) == 0


def test_each_image_of_a_batch_has_its_own_number():
    batch = {
        'num_dets': np.array([[2], [0], [1]], np.int32),
        'det_boxes': np.tile(np.float32([[[0, 0, 9, 9], [20, 20, 40, 40]]]), (3, 1, 1)),
        'det_scores': np.tile(np.float32([[0.5, 0.75]]), (3, 1)),
        'det_classes': np.array([[0, 1]] * 3, np.int32),
    }
    decoder = decoder_for(model('efficient_nms'), specs_of(**batch))
    found = decoder.decode(batch, [SQUARE] * 3, DecodeSettings())
    assert [f.class_ids.tolist() for f in found] == [[1, 0], [], [0]]


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'det_boxes': ((1, 100), 'f4'), 'det_scores': ((1, 100, 4), 'f4')}, 'should be boxes'),
        ({'det_boxes': ((1, 4, 100), 'f4')}, 'transposed'),
        ({'det_scores': ((1, 50), 'f4')}, 'different lengths'),
        ({'num_dets': ((2, 1), 'i4')}, 'different sizes'),
        ({'num_dets': ((1, 1), 'f4')}, 'number of objects'),
    ],
)
def test_outputs_that_do_not_fit(changes, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('efficient_nms'), files(**changes))


def test_a_missing_output():
    with pytest.raises(ModelOutputError, match='wants boxes'):
        decoder_for(model('efficient_nms'), files()[:1])


def test_options_are_none():
    with pytest.raises(ModelSpecError, match='none'):
        decoder_for(model('efficient_nms', strides=[8]), files())


def test_a_class_beyond_the_list():
    with pytest.raises(ModelOutputError, match='class 7, but the YAML lists 3'):
        decode(
            model('efficient_nms'),
            SQUARE,
            DecodeSettings(),
            num_dets=np.array([1], np.int32),
            det_boxes=np.array([[1, 2, 30, 40]], np.float32),
            det_scores=np.ones(1, np.float32),
            det_classes=np.array([7], np.int32),
        )
