import numpy as np
import pytest

from decoding_cases import (
    ANCHORS,
    CLASSES,
    KINDS,
    NETWORK,
    SQUARE,
    boxes_of,
    cases,
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


def cells():
    """(column, row, stride) of each anchor, as the paper orders them."""
    for stride in (8, 16, 32):
        for row in range(NETWORK[1] // stride):
            for column in range(NETWORK[0] // stride):
                yield column, row, stride


def raw(kind, rng):
    """float32 [anchors, 5 + classes], boxes relative to their cells."""
    grid = np.array([*cells()], np.float64)
    boxes = boxes_of(kind, rng, ANCHORS)
    centres = boxes[:, :2] / grid[:, 2:] - grid[:, :2]
    extents = np.log(np.abs(boxes[:, 2:]) / grid[:, 2:] + 1e-9)
    scores = scores_of(kind, rng, ANCHORS, 1 + CLASSES) ** 0.5
    return damage(kind, rng, np.concatenate([centres, extents, scores], axis=1))


def decoded(row, cell):
    x, y, w, h = row[:4]
    column, line, stride = cell
    with np.errstate(over='ignore'):
        extents = np.exp([w, h]) * stride
    # The network's numbers are of float32.
    extents = np.where(extents > np.finfo(np.float32).max, np.inf, extents)
    return ((x + column) * stride, (y + line) * stride, *extents.tolist())


@pytest.mark.parametrize('options', [{}, {'decoded': True}])
@pytest.mark.parametrize('kind', KINDS)
def test_boxes_as_published(kind, options):
    found = 0
    for rng, letterbox, settings in cases(kind):
        output = raw(kind, rng)
        if options:
            output[:, :4] = boxes_of(kind, rng, ANCHORS)
        proposals = []
        for row, cell in zip(output.astype(np.float64).tolist(), cells(), strict=True):
            if 0.25 <= row[4] < np.inf:
                best = best_class([row[4] * s for s in row[5:]])
                box = tuple(row[:4]) if options else decoded(row, cell)
                proposals += [Proposal(box, *best)] if best is not None else []
        result = decode(model('yolox', **options), letterbox, settings, output=output)
        check_same(result, plain_objects(proposals, letterbox, settings))
        found += len(result)
    assert (found > 0) == (kind != 'empty')


def test_a_box_of_each_stride():
    output = np.zeros((ANCHORS, 5 + CLASSES), np.float32)
    for anchor in (13, 96 + 7, 96 + 24 + 4):
        output[anchor, :6] = (0.5, 0.5, 0, np.log(0.5), 1, 0.9)
    found = decode(model('yolox'), SQUARE, DecodeSettings(), output=output)
    expected = [[8, 10, 16, 14], [16, 20, 32, 28], [32, 40, 64, 56]]
    assert found.boxes == pytest.approx(np.array(expected))


def test_an_extent_that_overflows_is_left_out():
    output = np.zeros((ANCHORS, 5 + CLASSES), np.float16)
    output[5, :6] = (0, 0, 6e4, 6e4, 1, 1)
    assert len(decode(model('yolox'), SQUARE, DecodeSettings(), output=output)) == 0


def of_shape(*shape):
    return [TensorSpec('output', np.dtype('f4'), shape)]


@pytest.mark.parametrize(
    ('spec', 'outputs', 'text'),
    [
        (model('yolox'), of_shape(1, ANCHORS + 1, 8), f'{ANCHORS + 1} anchors.*one anchor'),
        (model('yolox'), of_shape(1, 3 * ANCHORS, 8), 'cells'),
        (model('yolox', strides=[8, 16, 32, 64]), of_shape(1, ANCHORS, 8), '128 at strides'),
        (model('yolox'), of_shape(1, ANCHORS, 85), '80 classes.*lists 3'),
        (model('yolox'), of_shape(1, 8, ANCHORS), 'transposed'),
        (model('yolox'), of_shape(1, 7, ANCHORS), 'family: yolov8'),
        (model('yolox', strides=[]), of_shape(1, ANCHORS, 8), r'options\.strides'),
        (model('yolox', decode=True), of_shape(1, ANCHORS, 8), 'decoded, strides'),
    ],
)
def test_outputs_that_do_not_fit(spec, outputs, text):
    with pytest.raises((ModelOutputError, ModelSpecError), match=text):
        decoder_for(spec, outputs)
