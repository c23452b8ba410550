import numpy as np
import pytest

from decoding_cases import (
    ANCHORS,
    CLASSES,
    KINDS,
    SQUARE,
    boxes_of,
    cases,
    check_masks,
    check_same,
    damage,
    decode,
    model,
    scores_of,
)
from plain_decoding import Proposal, best_class, plain_objects
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

PROTOTYPES = 8


def raw(kind, rng, *, classes=CLASSES, coefficients=0, anchors=3 * ANCHORS):
    """float32 [anchors, 5 + classes + coefficients]."""
    columns = [
        boxes_of(kind, rng, anchors),
        scores_of(kind, rng, anchors, 1) ** 0.5,
        scores_of(kind, rng, anchors, classes) ** 0.5,
        rng.normal(0, 1, (anchors, coefficients)),
    ]
    return damage(kind, rng, np.concatenate(columns, axis=1))


def proposals(output, classes=CLASSES, *, objectness_alone=False):
    """What the published formulas make of each row: objectness times class score."""
    for row in output.astype(np.float64).tolist():
        objectness = row[4]
        if not 0.25 <= objectness < np.inf:
            continue
        scores = [objectness if objectness_alone else s * objectness for s in row[5 : 5 + classes]]
        best = best_class(scores)
        if best is not None:
            yield Proposal(tuple(row[:4]), *best, row[5 + classes :])


@pytest.mark.parametrize('kind', KINDS)
def test_boxes_as_published(kind):
    found = 0
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng)
        result = decode(model('yolov5'), letterbox, settings, output=output)
        check_same(result, plain_objects(proposals(output), letterbox, settings))
        found += len(result)
    assert (found > 0) == (kind != 'empty')


@pytest.mark.parametrize('kind', KINDS)
def test_instances_as_published(kind):
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng, coefficients=PROTOTYPES)
        prototypes = rng.normal(0, 1, (PROTOTYPES, 16, 24)).astype(np.float32)
        result = decode(
            model('yolov5', 'instance'), letterbox, settings, output0=output, output1=prototypes
        )
        expected = plain_objects(proposals(output), letterbox, settings)
        check_same(result, expected)
        check_masks(result, expected, prototypes, letterbox)


def test_nothing_found():
    output = np.zeros((3 * ANCHORS, 8), np.float32)
    assert len(decode(model('yolov5'), SQUARE, DecodeSettings(), output=output)) == 0


def test_an_object_of_float16():
    output = np.zeros((3 * ANCHORS, 8), np.float16)
    output[7] = (48, 32, 20, 10, 0.5, 0.25, 1, 0)
    found = decode(model('yolov5'), SQUARE, DecodeSettings(), output=output)
    assert found.boxes.tolist() == [[38, 27, 58, 37]]
    assert (found.scores.tolist(), found.class_ids.tolist()) == ([0.5], [1])


def test_one_class_counts_too():
    output = np.zeros((3 * ANCHORS, 6), np.float32)
    output[7] = (48, 32, 20, 10, 0.5, 0.75)
    found = decode(model('yolov5', classes=1), SQUARE, DecodeSettings(), output=output)
    assert found.scores.tolist() == [0.375]


def test_raw_maps_beside_the_output_are_not_looked_at():
    outputs = [
        TensorSpec('output', np.dtype('f4'), (1, 3 * ANCHORS, 8)),
        TensorSpec('350', np.dtype('f4'), (1, 3, 8, 12, 8)),
    ]
    assert decoder_for(model('yolov5'), outputs)


def tensors(*shapes, dtype='f4'):
    return [TensorSpec(f'output{i}', np.dtype(dtype), s) for i, s in enumerate(shapes)]


SPEC = model('yolov5', classes=80, size=(640, 640))
INSTANCE = model('yolov5', 'instance', classes=80, size=(640, 640))
MASKS = (1, 32, 160, 160)


@pytest.mark.parametrize(
    ('spec', 'outputs', 'text'),
    [
        (SPEC, [], 'has 0'),
        (SPEC, tensors((1, 1000)), 'classification model'),
        (SPEC, tensors((1, 3, 80, 80, 85), (1, 3, 40, 40, 85), (1, 3, 20, 20, 85)), 'raw maps'),
        (SPEC, tensors((1, 85, 25200)), 'transposed'),
        (SPEC, tensors((1, 84, 8400)), 'state `family: yolov8`'),
        (SPEC, tensors((1, 25200, 25)), '20 classes.*lists 80'),
        (SPEC, tensors((1, 25200, 5)), 'no YOLOv5-style'),
        (SPEC, tensors((1, 25200, 117), MASKS), 'task: instance'),
        (SPEC, tensors((1, 10647, 85)), '10647 anchors.*640x640.*input: size'),
        (SPEC, tensors((4, 25200, 85), (1, 3, 80, 80, 85)), 'different sizes'),
        (SPEC, tensors((1, 25200, 85), dtype='i4'), 'floating-point'),
        (INSTANCE, tensors((1, 25200, 85)), 'prototypes'),
        (INSTANCE, tensors((1, 25200, 85), MASKS), 'state `task: detect`'),
        (INSTANCE, tensors((1, 25200, 117), (1, 16, 160, 160)), '96 classes . 16 mask'),
        (model('yolov5', classes=0), tensors((1, 378, 5)), 'no classes'),
    ],
)
def test_outputs_that_do_not_fit(spec, outputs, text):
    with pytest.raises((ModelOutputError, ModelSpecError), match=text):
        decoder_for(spec, outputs)


def test_a_size_that_is_left_open_is_checked_with_the_first_batch():
    outputs = tensors((-1, -1, 8))
    decoder = decoder_for(model('yolov5'), outputs)
    with pytest.raises(ModelOutputError, match='cells'):
        decoder.decode({'output0': np.zeros((1, 100, 8), np.float32)}, [SQUARE], DecodeSettings())


@pytest.mark.parametrize('strides', [[], [0], [8, 16, 128]])
def test_strides_that_cannot_be(strides):
    with pytest.raises(ModelSpecError, match=r'options\.strides'):
        decoder_for(model('yolov5', strides=strides), tensors((1, 378, 8)))


def test_strides_of_ones_own():
    assert decoder_for(model('yolov5', strides=[2]), tensors((1, 48 * 32 * 3, 8)))
    with pytest.raises(ModelOutputError, match='1536 at strides'):
        decoder_for(model('yolov5', strides=[2]), tensors((1, 378, 8)))
