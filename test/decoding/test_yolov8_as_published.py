"""The decoders of yolov8-style outputs beside the plain ones."""

import numpy as np
import pytest

from decoding_cases import (
    ANCHORS,
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
    scores_of,
)
from plain_decoding import Proposal, best_class, plain_objects, plain_rotated
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

COEFFICIENTS = 8
KEY_POINTS = 5


def raw(kind, rng, extras=0, spread=50.0):
    """float32 [4 + classes + extras, anchors]."""
    columns = [
        boxes_of(kind, rng, ANCHORS),
        scores_of(kind, rng, ANCHORS, CLASSES),
        rng.normal(0, spread, (ANCHORS, extras)),
    ]
    return damage(kind, rng, np.concatenate(columns, axis=1).T)


def proposals(output):
    for row in output.T.astype(np.float64).tolist():
        best = best_class(row[4 : 4 + CLASSES])
        if best is not None:
            yield Proposal(tuple(row[:4]), *best, row[4 + CLASSES :])


@pytest.mark.parametrize('kind', KINDS)
def test_boxes(kind):
    found = 0
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng)
        result = decode(model('yolov8'), letterbox, settings, output0=output)
        check_same(result, plain_objects(proposals(output), letterbox, settings))
        found += len(result)
    assert (found > 0) == (kind != 'empty')


@pytest.mark.parametrize('kind', KINDS)
def test_instances(kind):
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng, COEFFICIENTS, 1.0)
        prototypes = rng.normal(0, 1, (COEFFICIENTS, 16, 24)).astype(np.float32)
        spec = model('yolov8', 'instance')
        result = decode(spec, letterbox, settings, output0=output, output1=prototypes)
        expected = plain_objects(proposals(output), letterbox, settings)
        check_same(result, expected)
        check_masks(result, expected, prototypes, letterbox)


@pytest.mark.parametrize('values', [2, 3])
@pytest.mark.parametrize('kind', KINDS)
def test_poses(kind, values):
    spec = model('yolov8', 'pose', key_points=tuple('abcde'))
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng, values * KEY_POINTS)
        result = decode(spec, letterbox, settings, output0=output)
        expected = plain_objects(proposals(output), letterbox, settings)
        check_same(result, expected)
        check_key_points(result, expected, values, letterbox)


@pytest.mark.parametrize('suppression', ['published', 'greedy'])
@pytest.mark.parametrize('kind', KINDS)
def test_oriented_boxes(kind, suppression):
    spec = model('yolov8', 'oriented', rotated_suppression=suppression)
    for rng, letterbox, settings in cases(kind, EVEN_SOURCES):
        output = raw(kind, rng, 1, 3.0)
        result = decode(spec, letterbox, settings, output0=output)
        expected = plain_rotated(proposals(output), letterbox, settings, suppression=suppression)
        check_same(result, expected)
        check_rotated(result, expected)


@pytest.mark.parametrize('task', ['pose', 'oriented'])
def test_nothing_found(task):
    extras = {'pose': 51, 'oriented': 1}[task]
    output = np.zeros((4 + CLASSES + extras, ANCHORS), np.float32)
    found = decode(model('yolov8', task), SQUARE, DecodeSettings(), output0=output)
    assert len(found) == 0
    more = found.key_points if task == 'pose' else found.rotated_boxes
    assert more.shape == {'pose': (0, 17, 3), 'oriented': (0, 5)}[task]
    assert found.masks is None


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_a_pose_whose_hand_is_outside_the_picture(dtype):
    output = np.zeros((4 + CLASSES + 6, ANCHORS), dtype)
    output[:, 4] = (10, 20, 16, 8, 0, 0.5, 0, -30, 20, 0.25, 12, 100, 1.5)
    spec = model('yolov8', 'pose', key_points=('hand', 'foot'))
    found = decode(spec, Letterbox.fit((192, 128), NETWORK), DecodeSettings(), output0=output)
    assert found.boxes.tolist() == [[4, 32, 36, 48]]
    assert found.key_points.tolist() == [[[-60, 40, 0.25], [24, 200, 1]]]
    assert found.key_points.dtype == np.float32


def test_an_oriented_box_turns_from_x_towards_y():
    output = np.zeros((4 + CLASSES + 1, ANCHORS), np.float32)
    output[:, 4] = (48, 32, 40, 0.001, 0.5, 0, 0, np.pi / 4)
    found = decode(model('yolov8', 'oriented'), SQUARE, DecodeSettings(), output0=output)
    x, y, w, _, theta = found.rotated_boxes[0].tolist()
    end = (x + np.cos(theta) * w / 2, y + np.sin(theta) * w / 2)
    assert end == pytest.approx((48 + 200**0.5, 32 + 200**0.5))
    assert found.boxes[0].tolist() == pytest.approx(
        [48 - 200**0.5, 32 - 200**0.5, 48 + 200**0.5, 32 + 200**0.5], abs=1e-2
    )


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize('task', ['pose', 'oriented'])
def test_extras_that_are_not_finite_never_reach_a_result(task, bad):
    output = np.zeros((4 + CLASSES + (51 if task == 'pose' else 1), ANCHORS), np.float32)
    output[:5, 3:5] = np.array([[48, 32, 20, 20, 0.9], [10, 10, 9, 9, 0.5]]).T
    output[-1, 3] = bad
    found = decode(model('yolov8', task), SQUARE, DecodeSettings(), output0=output)
    assert found.scores.tolist() == [0.5]


def tensors(*shapes, dtype='f4'):
    return [TensorSpec(f'output{i}', np.dtype(dtype), s) for i, s in enumerate(shapes)]


def pose(**options):
    names = options.pop('names', ())
    return model('yolov8', 'pose', key_points=names, **options)


@pytest.mark.parametrize(
    ('spec', 'outputs', 'text'),
    [
        (pose(), tensors((1, 7, 126)), 'state `task: detect`'),
        (pose(), tensors((1, 7 + 12, 126)), '6 with 2 values each or 4 with 3'),
        (pose(), tensors((1, 7 + 7, 126)), 'not 2 or 3 for each'),
        (pose(), tensors((1, 7 + 50, 126)), r'25 with 2 values.*key_point_shape: \[25, 2\]'),
        (pose(), tensors((1, 7 + 45, 126)), '15 with 3 values each.*`classes` has all'),
        (pose(names=('a', 'b')), tensors((1, 7 + 9, 126)), '2 names.*need 4 or 6'),
        (pose(key_point_shape=[3, 2]), tensors((1, 7 + 9, 126)), '6 numbers'),
        (pose(key_point_shape=[0, 3]), tensors((1, 7 + 9, 126)), r'\[key points, 2\]'),
        (pose(key_point_shape=[3, 4]), tensors((1, 7 + 12, 126)), r'\[key points, 2\]'),
        (
            pose(key_point_shape=[3, 3], names=('a',)),
            tensors((1, 7 + 9, 126)),
            '3 key points.*1 names',
        ),
        (pose(), tensors((1, 7 + 51, 126), (2, 3)), 'different sizes'),
        (model('yolov8', 'oriented'), tensors((1, 7, 126)), 'state `task: detect`'),
        (model('yolov8', 'oriented'), tensors((1, 9, 126)), '4 classes . 1 angle.*lists 3'),
        (model('yolov8', 'oriented'), tensors((1, 126, 8)), 'transposed'),
        (model('yolov8'), tensors((1, 1000)), 'classification model'),
        (model('yolov8'), tensors((1, 378, 8)), 'state `family: yolov5`'),
        (
            model('yolov8', rotated_suppression='x'),
            tensors((1, 7, 126)),
            r"\('published' or 'greedy'\)",
        ),
    ],
)
def test_outputs_that_do_not_fit(spec, outputs, text):
    with pytest.raises((ModelOutputError, ModelSpecError), match=text):
        decoder_for(spec, outputs)


@pytest.mark.parametrize(
    ('spec', 'numbers'),
    [
        (pose(), 51),
        (pose(key_point_shape=[4, 2]), 8),
        (pose(names=('a', 'b', 'c', 'd')), 12),
        (pose(key_point_shape=[6, 2]), 12),
    ],
)
def test_key_points_that_can_be_told(spec, numbers):
    assert decoder_for(spec, tensors((1, 7 + numbers, 126)))
    assert decoder_for(spec, tensors((1, -1, -1)))
