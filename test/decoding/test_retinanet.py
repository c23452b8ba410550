import numpy as np
import pytest

from decoding_cases import (
    CLASSES,
    KINDS,
    NETWORK,
    SQUARE,
    cases,
    check_same,
    damage,
    decode,
    model,
    scores_of,
)
from plain_decoding import Proposal, plain_objects
from plain_priors import cut, moved, retinanet_anchors, sigmoids
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

ANCHORS = retinanet_anchors(NETWORK)
COUNT = len(ANCHORS)


def raw(kind, rng):
    """Deltas [N, 4] and logits [N, CLASSES]."""
    count = len(ANCHORS)
    width = 0.03 if kind == 'crowded' else 0.4
    rare = rng.random((count, 1)) < 0.1
    scores = np.clip(scores_of(kind, rng, count, CLASSES) * 0.97 * rare, 1e-4, 1)
    logits = np.log(scores / (1 - scores)) - (8 if kind == 'empty' else 0)
    bad = kind if kind == 'damaged' else ''
    return damage(bad, rng, rng.normal(0, width, (count, 4))), damage(bad, rng, logits)


@pytest.mark.parametrize('kind', KINDS)
def test_deltas_as_published(kind):
    found = 0
    for rng, letterbox, settings in cases(kind):
        deltas, logits = raw(kind, rng)
        proposals = []
        for i in np.flatnonzero((logits > -2).any(axis=1)).tolist():
            box = cut(moved(ANCHORS[i], deltas[i].astype(float).tolist(), (1, 1, 1, 1)), NETWORK)
            probabilities = sigmoids(logits[i].astype(float).tolist())
            proposals += [Proposal(box, score, c) for c, score in enumerate(probabilities)]
        spec = model('retinanet', activation='sigmoid')
        result = decode(spec, letterbox, settings, cls_logits=logits, bbox_regression=deltas)
        check_same(result, plain_objects(proposals, letterbox, settings))
        found += len(result)
    assert (found > 0) == (kind != 'empty')


def test_anchors_at_their_strides():
    """800 pixels have 13 cells at stride 64, and 61 or 64 pixels from one to the next."""
    count = len(retinanet_anchors((800, 800)))
    deltas = np.zeros((count, 4), np.float32)
    scores = np.zeros((count, CLASSES), np.float32)
    last = count - 7 * 7 * 9 - 1
    scores[last, 1] = 0.9
    square = Letterbox.fit((800, 800), (800, 800))
    for spacing, floor in (('floor', True), ('stride', False)):
        spec = model('retinanet', size=(800, 800), activation='none', spacing=spacing)
        outputs = {'bbox_regression': deltas, 'cls_logits': scores}
        found = decode(spec, square, DecodeSettings(), **outputs)
        x, y, w, h = retinanet_anchors((800, 800), floor=floor)[last]
        wanted = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, 800)
        assert found.boxes[0] == pytest.approx(wanted, abs=1e-3)


def test_nothing_found():
    outputs = {
        'bbox_regression': np.zeros((len(ANCHORS), 4), np.float16),
        'cls_logits': np.full((len(ANCHORS), CLASSES), -9, np.float16),
    }
    spec = model('retinanet', activation='sigmoid')
    assert len(decode(spec, SQUARE, DecodeSettings(), **outputs)) == 0


def tensors(deltas=(-1, COUNT, 4), scores=(-1, COUNT, CLASSES), dtype='f4'):
    named = {'bbox_regression': deltas, 'cls_logits': scores}
    return [TensorSpec(name, np.dtype(dtype), shape) for name, shape in named.items()]


@pytest.mark.parametrize(
    ('outputs', 'text'),
    [
        (tensors((1, 900, 4), (1, 900, CLASSES)), f'900 anchors.*make {len(ANCHORS)}.*96x64'),
        (tensors((1, 4, 1161)), 'transposed'),
        (tensors(scores=(1, len(ANCHORS), 91)), '3 classes'),
        (tensors((1, len(ANCHORS), CLASSES), (1, len(ANCHORS), 4)), 'swapped'),
        (tensors(dtype='i8'), 'Its numbers are int64'),
    ],
)
def test_outputs_that_do_not_fit(outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('retinanet', activation='sigmoid'), outputs)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'strides': [8, 16]}, 'strides has 2 levels, sizes has 5'),
        ({'aspect_ratios': [0.5, -1]}, 'greater than 0'),
    ],
)
def test_options_that_are_refused(options, text):
    with pytest.raises(ModelSpecError, match=text):
        decoder_for(model('retinanet', **options), tensors())
