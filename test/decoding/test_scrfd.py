import math

import numpy as np
import pytest

from decoding_cases import (
    KINDS,
    NETWORK,
    SQUARE,
    cases,
    check_key_points,
    check_same,
    check_sound,
    damage,
    model,
    scores_of,
)
from plain_decoding import Proposal, plain_objects
from plain_priors import sigmoids
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

STRIDES = (8, 16, 32)
FLOAT_MAX = float(np.finfo(np.float32).max)
WIDTHS = {'score': 1, 'bbox': 4, 'kps': 10}


def points_of(stride):
    """Two points at each cell's corner."""
    columns, rows = math.ceil(NETWORK[0] / stride), math.ceil(NETWORK[1] / stride)
    return [(x * stride, y * stride) for y in range(rows) for x in range(columns) for _ in range(2)]


def faces(**options):
    return model('scrfd', 'face', classes=1, **options)


def raw(kind, rng):
    """{'score_8': [N, 1], ...} with logits."""
    bad = kind if kind == 'damaged' else ''
    found = {}
    for stride in STRIDES:
        count = len(points_of(stride))
        scores = np.clip(scores_of(kind, rng, count, 1) * 0.97, 1e-4, 1)
        logits = np.log(scores / (1 - scores)) - (8 if kind == 'empty' else 0)
        found[f'score_{stride}'] = damage(bad, rng, logits)
        sides = rng.normal(1.2, 0.2 if kind == 'crowded' else 1, (count, 4))
        found[f'bbox_{stride}'] = damage(bad, rng, sides)
        found[f'kps_{stride}'] = damage(bad, rng, rng.normal(0, 1, (count, 10)))
    return found


def proposals(outputs):
    for stride in STRIDES:
        plain = [outputs[f'{k}_{stride}'].astype(float).tolist() for k in WIDTHS]
        for (x, y), (score,), sides, offsets in zip(points_of(stride), *plain, strict=True):
            left, top, right, bottom = (side * stride for side in sides)
            if max(map(abs, (left, top, right, bottom))) > FLOAT_MAX:
                continue
            box = (x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom)
            marks = [o * stride + (x, y)[i % 2] for i, o in enumerate(offsets)]
            yield Proposal(box, sigmoids([score])[0], 0, marks)


def decode(spec, letterbox, settings, outputs, *, batched):
    """One image, with an axis for the batch or without one."""
    arrays = {name: array[None] if batched else array for name, array in outputs.items()}
    specs = [
        TensorSpec(n, a.dtype, (-1, *a.shape[1:]) if batched else a.shape)
        for n, a in arrays.items()
    ]
    (found,) = decoder_for(spec, specs).decode(arrays, [letterbox], settings)
    check_sound(found)
    return found


@pytest.mark.parametrize('kind', KINDS)
def test_faces_as_published(kind):
    found = 0
    for seed, (rng, letterbox, settings) in enumerate(cases(kind)):
        outputs = raw(kind, rng)
        spec = faces(activation='sigmoid')
        result = decode(spec, letterbox, settings, outputs, batched=bool(seed % 2))
        expected = plain_objects(proposals(outputs), letterbox, settings)
        check_same(result, expected)
        check_key_points(result, expected, 2, letterbox)
        found += len(result)
    assert (found > 0) == (kind != 'empty')


def numbered(outputs):
    """By kind and then by stride, under names that say nothing, as InsightFace exports them."""
    ordered = [outputs[f'{kind}_{stride}'] for kind in WIDTHS for stride in STRIDES]
    return {str(448 + i): array for i, array in enumerate(ordered)}


def test_names_that_say_nothing():
    outputs = raw('scattered', np.random.default_rng(1))
    spec, settings = faces(activation='sigmoid'), DecodeSettings()
    named = decode(spec, SQUARE, settings, outputs, batched=False)
    other = decode(spec, SQUARE, settings, numbered(outputs), batched=False)
    assert len(named) > 0
    assert np.array_equal(named.boxes, other.boxes)
    assert np.array_equal(named.key_points, other.key_points)


def test_boxes_without_landmarks():
    outputs = raw('scattered', np.random.default_rng(1))
    outputs = {name: array for name, array in outputs.items() if not name.startswith('kps')}
    found = decode(faces(activation='sigmoid'), SQUARE, DecodeSettings(), outputs, batched=True)
    assert len(found) > 0
    assert found.key_points is None


def test_nothing_found_in_float16():
    outputs = {name: np.zeros_like(a, np.float16) for name, a in raw('', DICE).items()}
    found = decode(faces(activation='none'), SQUARE, DecodeSettings(), outputs, batched=True)
    assert found.key_points.shape == (0, 5, 3)


DICE = np.random.default_rng(0)


def tensors(outputs):
    return [TensorSpec(name, np.dtype('f4'), shape) for name, shape in outputs.items()]


def shapes(**changed):
    found = {}
    for stride in STRIDES:
        for kind, width in WIDTHS.items():
            found[f'{kind}_{stride}'] = (len(points_of(stride)), width)
    return {name: shape for name, shape in {**found, **changed}.items() if shape}


def batched(**batches):
    return {name: (batches.get(name, 1), *shape) for name, shape in shapes().items()}


@pytest.mark.parametrize(
    ('outputs', 'text'),
    [
        (shapes(kps_8=None), 'the file has 3, 3 and 2'),
        (batched(score_8=2), 'batches of different sizes'),
        (shapes(score_8=(800, 1)), r'score_8 float32 \[800, 1\] should have 192 points'),
        (shapes(bbox_8=(1, 4, 192)), 'transposed'),
        ({'logits': (1, 1000)}, 'the file has 0, 0 and 0. Check `family`'),
    ],
)
def test_outputs_that_do_not_fit(outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(faces(activation='none'), tensors(outputs))


def test_two_images_need_an_axis_for_them():
    outputs = raw('', DICE)
    specs = [TensorSpec(n, a.dtype, a.shape) for n, a in outputs.items()]
    decoder = decoder_for(faces(activation='none'), specs)
    with pytest.raises(ModelOutputError, match='no axis for the batch'):
        decoder.decode(outputs, [SQUARE] * 2, DecodeSettings())


@pytest.mark.parametrize('options', [{'strides': []}, {'strides': [8, 0]}, {'anchors': 0}])
def test_options_that_are_refused(options):
    with pytest.raises(ModelSpecError, match='strides must be'):
        decoder_for(faces(**options), tensors(shapes()))
