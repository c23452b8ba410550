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
from plain_decoding import Proposal, best_class, corners
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

FLOAT_MAX = float(np.finfo(np.float32).max)
QUERIES = 60


def boxes(kind, rng):
    """float64 [QUERIES, 4] centre x, centre y, width, height as shares of the input."""
    return boxes_of(kind, rng, QUERIES) / (NETWORK * 2)


def in_pixels(row):
    width, height = NETWORK
    return corners((row[0] * width, row[1] * height, row[2] * width, row[3] * height))


def a_score_per_class(kind, rng):
    scores = scores_of(kind, rng, QUERIES, CLASSES)
    output = damage(kind, rng, np.concatenate([boxes(kind, rng), scores], axis=1))
    proposals = []
    for row in output.astype(np.float64).tolist():
        best = best_class(row[4:])
        if best is not None and max(map(abs, in_pixels(row))) < FLOAT_MAX:
            proposals.append(Proposal(in_pixels(row), *best))
    return {'output0': output}, proposals


def the_best_score_and_its_class(kind, rng):
    scores = scores_of(kind, rng, QUERIES, 1)
    output = damage(kind, rng, np.concatenate([boxes(kind, rng), scores], axis=1))
    labels = rng.integers(0, CLASSES, (QUERIES, 1)).astype(np.float32)
    output = np.concatenate([output, labels], axis=1)
    proposals = [
        Proposal(in_pixels(row), row[4], int(row[5]))
        for row in output.astype(np.float64).tolist()
        if max(map(abs, in_pixels(row))) < FLOAT_MAX
    ]
    return {'output0': output}, proposals


@pytest.mark.parametrize('layout', [a_score_per_class, the_best_score_and_its_class])
@pytest.mark.parametrize('kind', KINDS)
def test_rows_as_published(kind, layout):
    check_as_published(kind, model('rtdetr'), layout, suppressed=False)


def test_nothing_found():
    output = np.zeros((QUERIES, 6), np.float32)
    assert len(decode(model('rtdetr'), SQUARE, DecodeSettings(), output0=output)) == 0


def test_no_queries_at_all():
    output = np.zeros((0, 7), np.float32)
    assert len(decode(model('rtdetr'), SQUARE, DecodeSettings(), output0=output)) == 0


def test_float16_is_taken():
    output = np.array([[0.5, 0.5, 0.25, 0.5, 0.75, 2]], np.float16)
    found = decode(model('rtdetr'), SQUARE, DecodeSettings(), output0=output)
    assert found.boxes.tolist() == [[36, 16, 60, 48]]
    assert found.class_ids.tolist() == [2]


def test_two_classes_are_told_apart_by_the_layout():
    output = np.array([[0.5, 0.5, 0.25, 0.5, 0.4, 1]], np.float32)
    settings = DecodeSettings()
    best = decode(model('rtdetr', classes=2, layout='best'), SQUARE, settings, output0=output)
    every = decode(model('rtdetr', classes=2, layout='scores'), SQUARE, settings, output0=output)
    assert best.scores.tolist() == [pytest.approx(0.4)]
    assert every.scores.tolist() == [1]


@pytest.mark.parametrize(
    ('shape', 'options', 'text'),
    [
        ((1, 300, 6), {'classes': 2}, 'layout: best'),
        ((1, 300, -1), {}, 'layout: best'),
        ((1, 7, 300), {}, 'transposed'),
        ((1, 300, 84), {}, r'300, 84.*\[batch, queries, 7 = 4 box \+ 3 classes\]'),
        ((1, 300, 6), {'layout': 'scores'}, r'7 = 4 box'),
        ((1, 1000), {}, 'should be rows'),
    ],
)
def test_outputs_that_do_not_fit(shape, options, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('rtdetr', **options), [TensorSpec('output0', np.dtype('f4'), shape)])
