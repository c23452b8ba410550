import numpy as np
import pytest

from decoding_cases import (
    KINDS,
    NETWORK,
    SQUARE,
    cases,
    check_key_points,
    check_same,
    damage,
    decode,
    model,
    scores_of,
)
from plain_decoding import Proposal, plain_objects
from plain_priors import face_priors, moved, moved_points, softmaxes
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

PRIORS = face_priors(NETWORK)
COUNT = len(PRIORS)
VARIANCES = (0.1, 0.1, 0.2, 0.2)


def faces(**options):
    return model('retinaface', 'face', classes=1, **options)


def raw(kind, rng):
    """loc [N, 4], conf [N, 2] as logits, landms [N, 10]."""
    bad = kind if kind == 'damaged' else ''
    scores = np.clip(scores_of(kind, rng, COUNT, 1) * 0.97, 1e-4, 1)
    conf = np.log(np.concatenate([1 - scores, scores], axis=1))
    conf -= [0, 8 if kind == 'empty' else 0]
    return (
        damage(bad, rng, rng.normal(0, 0.3 if kind == 'crowded' else 1.5, (COUNT, 4))),
        damage(bad, rng, conf),
        damage(bad, rng, rng.normal(0, 3, (COUNT, 10))),
    )


@pytest.mark.parametrize('kind', KINDS)
def test_faces_as_published(kind):
    found = 0
    for rng, letterbox, settings in cases(kind):
        loc, conf, landms = raw(kind, rng)
        proposals = [
            Proposal(moved(prior, delta, VARIANCES), softmaxes(row)[1], 0, points)
            for prior, delta, row, points in zip(
                PRIORS,
                loc.astype(float).tolist(),
                conf.astype(float).tolist(),
                [
                    moved_points(prior, deltas, 0.1)
                    for prior, deltas in zip(PRIORS, landms.astype(float).tolist(), strict=True)
                ],
                strict=True,
            )
        ]
        spec = faces(activation='softmax')
        result = decode(spec, letterbox, settings, loc=loc, conf=conf, landms=landms)
        expected = plain_objects(proposals, letterbox, settings)
        check_same(result, expected)
        check_key_points(result, expected, 2, letterbox)
        found += len(result)
    assert (found > 0) == (kind != 'empty')


def test_nothing_found():
    outputs = {
        'loc': np.zeros((COUNT, 4), np.float16),
        'conf': np.zeros((COUNT, 2), np.float16),
        'landms': np.zeros((COUNT, 10), np.float16),
    }
    found = decode(faces(activation='none'), SQUARE, DecodeSettings(), **outputs)
    assert found.key_points.shape == (0, 5, 3)


def tensors(loc=4, conf=2, landms=10, count=COUNT, names=('loc', 'conf', 'landms')):
    widths = [(name, w) for name, w in zip(names, (loc, conf, landms), strict=True) if w]
    return [TensorSpec(name, np.dtype('f4'), (1, count, width)) for name, width in widths]


def test_names_do_not_matter():
    assert decoder_for(faces(activation='none'), tensors(names=('590', '591', '592'))).decode


@pytest.mark.parametrize(
    ('outputs', 'text'),
    [
        (tensors(count=4200), f'4200 priors.*make {COUNT}.*96x64'),
        (tensors(landms=0), 'wants `landms`.*file has none'),
        (tensors(loc=2, conf=4), 'swapped'),
        (tensors(landms=212), r'should be `landms` \[batch, priors, 10\]'),
    ],
)
def test_outputs_that_do_not_fit(outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(faces(activation='none'), outputs)


@pytest.mark.parametrize(
    ('spec', 'text'),
    [
        (faces(steps=[8, 16]), 'steps has 2 levels, min_sizes 3'),
        (faces(min_sizes=[[16], [0], [32]]), 'above 0'),
        (model('retinaface', 'face', classes=2), 'finds one class'),
        (model('retinaface', 'face', classes=1, key_points=('eye',)), '5 landmarks'),
    ],
)
def test_models_that_are_refused(spec, text):
    with pytest.raises(ModelSpecError, match=text):
        decoder_for(spec, tensors())
