import numpy as np
import pytest

from decoding_cases import (
    CLASSES,
    EVEN_SOURCES,
    KINDS,
    NETWORK,
    SQUARE,
    boxes_of,
    cases,
    check_key_points,
    check_masks,
    check_rotated,
    check_same,
    damage,
    decode,
    model,
    specs_of,
)
from plain_decoding import Proposal, plain_objects, plain_rotated
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

OBJECTS = 20
COEFFICIENTS = 8
KEY_POINTS = 5


def raw(kind, rng, extras=0, *, rotated=False):
    """float32 [objects, 6 + extras], damaged nowhere but in the class."""
    boxes = boxes_of(kind, rng, OBJECTS)
    if not rotated:
        half = boxes[:, 2:] / 2
        boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    score = np.sort(rng.random((OBJECTS, 1)), axis=0)[::-1]
    class_id = rng.integers(0, CLASSES, (OBJECTS, 1))
    more = rng.normal(0, 4, (OBJECTS, extras)) if rotated else rng.random((OBJECTS, extras)) * 90
    output = damage(kind, rng, np.concatenate([boxes, score, score, more], axis=1))
    output[:, 5] = class_id[:, 0]
    return output


def proposals(output):
    for row in output.astype(np.float64).tolist():
        yield Proposal(tuple(row[:4]), row[4], int(row[5]), row[6:])


@pytest.mark.parametrize('kind', KINDS)
def test_boxes(kind):
    found = 0
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng)
        result = decode(model('yolov10'), letterbox, settings, output0=output)
        expected = plain_objects(proposals(output), letterbox, settings, suppressed=False)
        check_same(result, expected)
        found += len(result)
    assert (found > 0) == (kind != 'empty')


@pytest.mark.parametrize('kind', KINDS)
def test_instances(kind):
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng, COEFFICIENTS)
        prototypes = rng.normal(0, 1, (COEFFICIENTS, 16, 24)).astype(np.float32)
        spec = model('yolov10', 'instance')
        result = decode(spec, letterbox, settings, output0=output, output1=prototypes)
        expected = plain_objects(proposals(output), letterbox, settings, suppressed=False)
        check_same(result, expected)
        check_masks(result, expected, prototypes, letterbox)


@pytest.mark.parametrize('kind', KINDS)
def test_poses(kind):
    spec = model('yolov10', 'pose', key_points=tuple('abcde'))
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng, 3 * KEY_POINTS)
        result = decode(spec, letterbox, settings, output0=output)
        expected = plain_objects(proposals(output), letterbox, settings, suppressed=False)
        check_same(result, expected)
        check_key_points(result, expected, 3, letterbox)


@pytest.mark.parametrize('kind', KINDS)
def test_oriented_boxes(kind):
    for rng, letterbox, settings in cases(kind, EVEN_SOURCES):
        output = raw(kind, rng, 1, rotated=True)
        result = decode(model('yolov10', 'oriented'), letterbox, settings, output0=output)
        expected = plain_rotated(proposals(output), letterbox, settings, suppression=None)
        check_same(result, expected)
        check_rotated(result, expected)


def test_no_objects():
    output = np.zeros((0, 6), np.float32)
    assert len(decode(model('yolov10'), SQUARE, DecodeSettings(), output0=output)) == 0


def test_the_best_of_float16_in_any_order():
    output = np.array(
        [[0, 0, 9, 9, 0.5, 1], [0, 0, 9, 9, 0.75, 2], [0, 0, 9, 9, 0.25, -1]], np.float16
    )
    found = decode(model('yolov10'), SQUARE, DecodeSettings(iou=0.0), output0=output)
    assert (found.scores.tolist(), found.class_ids.tolist()) == ([0.75, 0.5], [2, 1])


def test_a_batch_of_two_sources_filled_up():
    rows = [[[0, 0, 9, 9, 0.5, 1]], [[8, 8, 24, 24, 0.75, 2]], [[0, 0, 9, 9, 1, 0]]]
    outputs = {'output0': np.array(rows, np.float32)}
    letterboxes = [SQUARE, Letterbox.fit((192, 128), NETWORK)]
    decoder = decoder_for(model('yolov10'), specs_of(**outputs))
    one, two = decoder.decode(outputs, letterboxes, DecodeSettings())
    assert (one.size, one.boxes.tolist()) == ((96, 64), [[0, 0, 9, 9]])
    assert (two.size, two.boxes.tolist()) == ((192, 128), [[16, 16, 48, 48]])
    with pytest.raises(ModelOutputError, match='at least 4 images'):
        decoder.decode(outputs, letterboxes * 2, DecodeSettings())


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_class_that_is_no_number_is_left_out(bad):
    output = np.array([[0, 0, 9, 9, 0.9, bad], [0, 0, 9, 9, 0.8, 1]], np.float32)
    found = decode(model('yolov10'), SQUARE, DecodeSettings(), output0=output)
    assert found.class_ids.tolist() == [1]


def test_a_class_beyond_the_list():
    output = np.array([[0, 0, 9, 9, 0.9, 17]], np.float32)
    with pytest.raises(ModelOutputError, match='class 17, but the YAML lists 3'):
        decode(model('yolov10'), SQUARE, DecodeSettings(), output0=output)
    # What does not score is not looked at.
    assert len(decode(model('yolov10'), SQUARE, DecodeSettings(0.95), output0=output)) == 0


def tensors(*shapes, dtype='f4'):
    return [TensorSpec(f'output{i}', np.dtype(dtype), s) for i, s in enumerate(shapes)]


MASKS = (1, 32, 160, 160)


@pytest.mark.parametrize(
    ('task', 'outputs', 'text'),
    [
        ('detect', [], 'has 0'),
        ('detect', tensors((1, 7, 8400)), 'state `family: yolov8`'),
        ('detect', tensors((1, 6, 300)), 'transposed'),
        ('detect', tensors((1, 300, 7)), 'state `task: oriented`'),
        ('detect', tensors((1, 300, 57)), 'state `task: pose`'),
        ('detect', tensors((1, 300, 38), MASKS), 'State `task: instance`'),
        ('detect', tensors((1, 300, 4)), 'Check `family`'),
        ('detect', tensors((1, 1000)), 'classification'),
        ('detect', tensors((1, 300, 6), (4, 3, 9)), 'different sizes'),
        ('instance', tensors((1, 300, 38)), 'prototypes'),
        ('instance', tensors((1, 300, 6), MASKS), 'state `task: detect`'),
        ('oriented', tensors((1, 300, 6)), 'state `task: detect`'),
        ('pose', tensors((1, 300, 6)), 'state `task: detect`'),
        ('pose', tensors((1, 300, 18)), '6 with 2 values each or 4 with 3'),
        ('pose', tensors((1, 300, 7)), 'not 2 or 3 for each'),
    ],
)
def test_outputs_that_do_not_fit(task, outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('yolov10', task), outputs)
