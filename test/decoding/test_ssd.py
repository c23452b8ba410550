import msgspec
import numpy as np
import pytest

from decoding_cases import (
    CLASSES,
    KINDS,
    NETWORK,
    SQUARE,
    boxes_of,
    check_as_published,
    damage,
    decode,
    model,
    scores_of,
)
from plain_decoding import Proposal, corners
from plain_priors import cut, moved, softmaxes, ssd_priors
from trt_perception.decoding.registry import decoder_for
from trt_perception.decoding.single_shot_priors import PriorOptions, priors_of
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ClassSpec
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

VARIANCES = (0.1, 0.1, 0.2, 0.2)
SMALL = {
    'boxes': 'deltas',
    'activation': 'softmax',
    'aspect_ratios': [[2], [2, 3]],
    'scales': [0.3, 0.6, 1.0],
    'cells': [[6, 4], [3, 2]],
}
"""Priors of a small network, 6*4*4 and 3*2*6 of them."""
PRIORS = ssd_priors(NETWORK, SMALL['cells'], SMALL['scales'], SMALL['aspect_ratios'])


def logits_of(kind, rng, count):
    """float64 [count, 1 + CLASSES], of the background and the classes."""
    scores = np.clip(scores_of(kind, rng, count, CLASSES) * 0.97, 1e-4, 1)
    total = np.maximum(1 - scores.sum(axis=1, keepdims=True), 0.02)
    logits = np.log(np.concatenate([total, scores], axis=1))
    if kind == 'equal':
        # One row for all: sums of the same numbers in another order would not be equal.
        logits[:] = logits[logits[:, 1:].max(axis=1).argmax()]
    return logits - (8 * np.arange(1 + CLASSES) if kind == 'empty' else 0)


def pairs(box, row):
    return [Proposal(box, score, i) for i, score in enumerate(softmaxes(row)[1:])]


def raw_heads(kind, rng):
    count = len(PRIORS)
    width = 0.3 if kind == 'crowded' else 1.5
    deltas = damage(kind, rng, rng.normal(0, width, (count, 4)))
    logits = damage('damaged' if kind == 'damaged' else '', rng, logits_of(kind, rng, count))
    proposals = [
        proposal
        for prior, delta, row in zip(
            PRIORS, deltas.astype(float).tolist(), logits.astype(float).tolist(), strict=True
        )
        for proposal in pairs(cut(moved(prior, delta, VARIANCES), NETWORK), row)
    ]
    return {'boxes': deltas, 'scores': logits}, proposals


@pytest.mark.parametrize('names', [('boxes', 'scores'), ('bbox_regression', 'cls_logits')])
@pytest.mark.parametrize('kind', KINDS)
def test_raw_heads_as_published(kind, names):
    def named(kind, rng):
        outputs, proposals = raw_heads(kind, rng)
        return dict(zip(names, outputs.values(), strict=True)), proposals

    check_as_published(kind, model('ssd', **SMALL), named)


@pytest.mark.parametrize('unit', ['normalised', 'pixels'])
@pytest.mark.parametrize('kind', KINDS)
def test_decoded_outputs_as_published(kind, unit):
    def decoded(kind, rng):
        boxes = np.array([corners(box) for box in boxes_of(kind, rng, 80)])
        extent = np.array(NETWORK * 2) if unit == 'normalised' else np.ones(4)
        boxes = damage('', rng, boxes / extent)
        scores = damage(kind, rng, scores_of(kind, rng, 80, 1 + CLASSES))
        proposals = []
        for (x1, y1, x2, y2), row in zip(
            (boxes * extent.astype(np.float32)).astype(float).tolist(), scores, strict=True
        ):
            box = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
            proposals += [
                Proposal(box, float(s), i) for i, s in enumerate(row[1:]) if np.isfinite(s)
            ]
        return {'boxes': boxes, 'scores': scores}, proposals

    check_as_published(kind, model('ssd', boxes=unit, activation='none'), decoded)


def test_four_columns_of_scores_look_like_boxes():
    outputs = [TensorSpec(name, np.dtype('f4'), (1, 132, 4)) for name in ('a', 'b')]
    with pytest.raises(ModelOutputError, match=r"a and b may be it.*'boxes'"):
        decoder_for(model('ssd', **SMALL), outputs)


def test_no_boxes_at_all():
    spec = model('ssd', boxes='normalised', activation='softmax')
    none = {'boxes': np.zeros((0, 4), np.float32), 'scores': np.zeros((0, 4), np.float32)}
    assert len(decode(spec, SQUARE, DecodeSettings(), **none)) == 0


@pytest.mark.parametrize(
    ('name', 'size', 'count', 'plain'),
    [
        (
            'ssd300',
            (300, 300),
            8732,
            {
                'cells': [(n, n) for n in (38, 19, 10, 5, 3, 1)],
                'scales': [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
                'ratios': [(2,), (2, 3), (2, 3), (2, 3), (2,), (2,)],
                'steps': (8, 16, 32, 64, 100, 300),
            },
        ),
        (
            'ssdlite320',
            (320, 320),
            3234,
            {
                'cells': [(n, n) for n in (20, 10, 5, 3, 2, 1)],
                'scales': [0.2 + 0.15 * k for k in range(6)] + [1.0],
                'ratios': [(2, 3)] * 6,
            },
        ),
        (
            'mobilenet_ssd',
            (300, 300),
            1917,
            {
                'cells': [(n, n) for n in (19, 10, 5, 3, 2, 1)],
                'scales': [n / 300 for n in (60, 105, 150, 195, 240, 285, 300)],
                'ratios': [(2,)] + [(2, 3)] * 5,
                'larger': [False] + [True] * 5,
                'clip': False,
            },
        ),
    ],
)
def test_priors_of_published_models(name, size, count, plain):
    priors = priors_of(model('ssd', size=size), PriorOptions(priors=name))
    assert priors.shape == (count, 4)
    assert priors == pytest.approx(np.array(ssd_priors(size, **plain)), abs=1e-3)


def test_the_list_of_classes_may_name_the_background():
    scores = np.array([[0.1, 0.05, 0.85]], np.float32)
    boxes = np.array([[0.25, 0.25, 0.5, 0.75]], np.float32)
    spec = model('ssd', boxes='normalised', activation='none')
    for names, class_id in ((('background', 'car', 'dog'), 2), (('car', 'dog'), 1)):
        classes = tuple(ClassSpec(name=name) for name in names)
        listed = msgspec.structs.replace(spec, classes=classes)
        found = decode(listed, SQUARE, DecodeSettings(), boxes=boxes, scores=scores)
        assert found.class_ids.tolist() == [class_id]
        assert found.boxes.tolist() == [[24, 16, 48, 48]]


def test_float16_is_taken():
    scores = np.array([[0, 0, 5, 0]], np.float16)
    boxes = np.array([[0.25, 0.25, 0.5, 0.75]], np.float16)
    spec = model('ssd', boxes='normalised', activation='softmax')
    found = decode(spec, SQUARE, DecodeSettings(), boxes=boxes, scores=scores)
    assert found.boxes.tolist() == [[24, 16, 48, 48]]
    assert found.class_ids.tolist() == [1]


def tensors(boxes=(-1, 132, 4), scores=(-1, 132, 21)):
    names = {'boxes': boxes, 'scores': scores}
    return [TensorSpec(n, np.dtype('f4'), s) for n, s in names.items() if s]


@pytest.mark.parametrize(
    ('options', 'outputs', 'text'),
    [
        ({}, tensors(), 'boxes: normalised'),
        ({'boxes': 'normalised'}, tensors(), 'activation: none'),
        (SMALL, tensors((-1, 3000, 4), (-1, 3000, 21)), '3000 boxes, but the options make 132'),
        (SMALL, tensors((-1, 132, 4), (-1, 100, 21)), '132 boxes but 100 rows'),
        (SMALL, tensors((-1, 132, 21), (-1, 132, 4)), 'swapped'),
        (SMALL, tensors((-1, 4, 132)), 'transposed'),
        (SMALL, tensors(scores=(-1, 132, 91)), '21 = background . 20 classes'),
        (SMALL, tensors(scores=None), 'file has none'),
        (SMALL, [TensorSpec('logits', np.dtype('f4'), (1, 1000))], 'file has none'),
    ],
)
def test_outputs_that_do_not_fit(options, outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('ssd', classes=20, **options), outputs)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({}, 'priors: NAME'),
        ({'priors': 'ssd300'}, 'belong to an input of 300x300, this one is 96x64'),
        ({'scales': [0.3]}, 'they must be the same'),
        ({'scales': [0.3, 0.0, 1.0]}, 'greater than 0'),
        ({'variances': [0.1]}, 'variances'),
        ({'prior': 'ssd300'}, 'Options of family ssd'),
    ],
)
def test_priors_that_are_refused(options, text):
    every = {'boxes': 'deltas', 'activation': 'softmax', **options}
    if 'scales' in options:
        every = {**SMALL, **options}
    with pytest.raises(ModelSpecError, match=text):
        decoder_for(model('ssd', classes=20, **every), tensors())
