"""Raw outputs for comparing decoders with `plain_decoding`: random ones and structured ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plain_decoding import plain_mask_logits, plain_objects, rotated_corners, to_source
from trt_perception.decoding.registry import decoder_for
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

NETWORK = (96, 64)
ANCHORS = 12 * 8 + 6 * 4 + 3 * 2
"""Cells of `NETWORK` at strides 8, 16 and 32."""
SQUARE = Letterbox.fit(NETWORK, NETWORK)
"""Of an image that fits as it is."""
CLASSES = 3
KINDS = ('scattered', 'crowded', 'equal', 'rim', 'damaged', 'empty')
SEEDS = 34
"""Cases of each kind; 204 in all."""

SOURCES = ((96, 64), (70, 90), (45, 30), (133, 41))
EVEN_SOURCES = ((96, 64), (48, 64), (45, 30), (192, 64))
"""Those that are scaled alike along x and y, so that rotated boxes stay rectangles."""


def boxes_of(kind, rng, count):
    """float64 [count, 4], centre x, centre y, width, height in network pixels."""
    if kind == 'crowded':
        places = rng.random((3, 4)) * (60, 40, 30, 30) + (18, 12, 8, 8)
        return places[rng.integers(0, 3, count)] + rng.normal(0, 1.5, (count, 4))
    if kind == 'equal':
        return rng.integers(1, 6, (count, 4)) * (16.0, 12, 8, 8)
    if kind == 'rim':
        return rng.random((count, 4)) * (160, 110, 40, 40) - (32, 24, 3, 3)
    return rng.random((count, 4)) * (*NETWORK, 50, 50)


def scores_of(kind, rng, *shape):
    """float64 in 0..1, few of them high."""
    if kind == 'equal':
        return np.where(rng.random(shape) < 0.15, rng.integers(2, 9, shape) / 8, 0)
    scores = np.where(rng.random(shape) < 0.1, rng.random(shape), rng.random(shape) * 0.2)
    return scores * 0.9 if kind == 'empty' and rng.random() < 0.5 else scores


def damage(kind, rng, output):
    """The output, in float32, with numbers that are none if the kind says so."""
    output = output.astype(np.float32)
    if kind == 'empty':
        output[..., :] = np.where(rng.random() < 0.5, 0, output * 1e-3)
    if kind == 'damaged':
        bad = np.array([np.nan, np.inf, -np.inf, 1e38, -1e38], np.float32)
        where = rng.random(output.shape) < 0.01
        output[where] = rng.choice(bad, int(where.sum()))
    return output


def cases(kind, sources=SOURCES):
    """(rng, letterbox, settings) of each seed."""
    for seed in range(SEEDS):
        rng = np.random.default_rng([KINDS.index(kind), seed])
        source = sources[seed % len(sources)]
        settings = DecodeSettings(
            score=0.25,
            iou=(0.3, 0.5, 0.6)[seed % 3],
            max_detections=(300, 300, 3)[seed % 3],
            class_filter=None if seed % 4 else frozenset({0, 2}),
        )
        yield rng, Letterbox.fit(source, NETWORK), settings


def model(family, task='detect', *, classes=CLASSES, size=NETWORK, key_points=(), **options):
    return ModelSpec(
        name='model',
        onnx=Path('model.onnx'),
        family=family,
        task=task,
        input=InputSpec(size=size),
        classes=tuple(ClassSpec(name=f'class {i}') for i in range(classes)),
        key_points=key_points,
        options=options,
    )


def specs_of(**outputs):
    """What a file that returns these arrays says of its outputs, the batch left open."""
    return [TensorSpec(n, a.dtype, (-1, *a.shape[1:])) for n, a in outputs.items()]


def decode(spec, letterbox, settings, **outputs):
    """The result of one image, from outputs without a batch."""
    batch = {name: np.asarray(array)[None] for name, array in outputs.items()}
    (found,) = decoder_for(spec, specs_of(**batch)).decode(batch, [letterbox], settings)
    check_sound(found)
    return found


def check_sound(found):
    """What holds for any detections."""
    width, height = found.size
    assert np.isfinite(found.boxes).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= (width, height) * 2).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert (np.diff(found.scores) <= 0).all()
    for more in (found.key_points, found.rotated_boxes):
        assert more is None or np.isfinite(more).all()
    types = (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype)
    assert types == (np.float32, np.float32, np.int64)


def check_same(found, expected):
    """Compare detections with [(box, ..., proposal)] of the plain implementation."""
    assert found.class_ids.tolist() == [p.class_id for *_, p in expected]
    assert found.scores == pytest.approx([min(p.score, 1) for *_, p in expected], abs=1e-6)
    for box, (other, *_) in zip(found.boxes, expected, strict=True):
        assert box == pytest.approx(other, abs=2e-3, rel=1e-5)


def check_as_published(kind, spec, case, *, suppressed=True):
    """Compare the decoder of `spec` with the plain implementation over the cases of a kind.

    `case(kind, rng)` gives what the network returns for one image, and its proposals. Something
    is found in them unless the kind says that there is nothing.
    """
    count = 0
    for rng, letterbox, settings in cases(kind):
        outputs, proposals = case(kind, rng)
        found = decode(spec, letterbox, settings, **outputs)
        check_same(found, plain_objects(proposals, letterbox, settings, suppressed=suppressed))
        count += len(found)
    assert (count > 0) == (kind != 'empty')


def check_masks(found, expected, prototypes, letterbox):
    """Compare masks with the plain ones, but where a logit is next to nothing."""
    width, height = letterbox.source
    x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    for mask, (box, p) in zip(found.masks, expected, strict=True):
        bits = np.zeros((height, width), bool)
        rows, columns = mask.bits.shape
        bits[mask.y : mask.y + rows, mask.x : mask.x + columns] = mask.bits
        logits = plain_mask_logits(p.extras, prototypes, letterbox)
        inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
        edge = np.abs(np.stack(np.broadcast_arrays(x - box[0], x - box[2], y - box[1], y - box[3])))
        clear = (np.abs(logits) > 1e-4) & (edge > 1e-4).all(axis=0)
        assert np.array_equal(bits[clear], ((logits > 0) & inside)[clear])


def check_key_points(found, expected, values, letterbox):
    """Compare key points with those of the plain proposals; `values` numbers for each."""
    for points, (*_, p) in zip(found.key_points, expected, strict=True):
        rows = np.array(p.extras).reshape(-1, values)
        assert points.shape == (len(rows), 3)
        plain = np.array([to_source(x, y, letterbox) for x, y, *_ in rows])
        assert points[:, :2] == pytest.approx(plain, abs=2e-3, rel=1e-5)
        sure = np.clip(rows[:, 2], 0, 1) if values == 3 else np.ones(len(rows))
        assert points[:, 2] == pytest.approx(sure)


def check_rotated(found, expected):
    """Compare rotated boxes with the plain ones by their corners, which the angle may exchange."""
    for rotated, (_, rim, _) in zip(found.rotated_boxes, expected, strict=True):
        assert -np.pi / 2 <= rotated[4] <= np.pi / 2
        corners = np.array(rotated_corners(*rotated.astype(np.float64).tolist()))
        apart = np.abs(corners[:, None] - np.array(rim)).max(axis=2)
        assert apart.min(axis=1).max() <= 2e-3 + 1e-5 * np.abs(rim).max()
