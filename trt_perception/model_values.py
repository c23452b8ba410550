"""What the values of a model's description may be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trt_perception.errors import ModelSpecError

if TYPE_CHECKING:
    from trt_perception.model_input import InputSpec
    from trt_perception.model_spec import ModelSpec

Demand = tuple[bool, str]
"""Whether something holds, and what is to be said where it does not."""


def check_values(path: Path, spec: ModelSpec) -> None:
    """Refuse what no model can be.

    Raises:
        ModelSpecError: a value is not allowed; the text names it and `path`.
    """
    for demands in (_of_input(spec.input), _of_limits(spec), _of_classes_and_points(spec)):
        for holds, message in demands:
            if not holds:
                raise ModelSpecError(f'{path}: {message}')


def _of_input(given: InputSpec) -> Iterator[Demand]:
    width, height = given.size
    longest = max(width, height)
    yield 0 < width <= 8192 and 0 < height <= 8192, 'input.size must lie in 1..8192'
    yield 0 <= given.pad_value <= 255, 'input.pad_value must lie in 0..255'
    yield (
        longest <= (given.shorter_side or 8192) <= 16384,
        f'input.shorter_side must lie in {longest}..16384, so that the image covers input.size '
        f'{width}x{height}',
    )
    yield (
        given.shorter_side is None or given.resize == 'centre_crop',
        'input.shorter_side belongs to `resize: centre_crop` only',
    )
    yield all(map(math.isfinite, given.mean)), 'input.mean must be finite'
    yield (
        all(value != 0 and math.isfinite(value) for value in given.scale),
        'input.scale must be finite and not 0',
    )


def _of_limits(spec: ModelSpec) -> Iterator[Demand]:
    limits, gate = spec.thresholds, spec.quantisation.gate
    yield 0 <= limits.score <= 1, 'thresholds.score must lie in 0..1'
    yield 0 <= limits.iou <= 1, 'thresholds.iou must lie in 0..1'
    yield 1 <= limits.max_detections <= 65535, 'thresholds.max_detections must lie in 1..65535'
    yield 0 <= gate.agreement <= 1, 'quantisation.gate.agreement must lie in 0..1'
    yield 0 <= gate.overlap <= 1, 'quantisation.gate.overlap must lie in 0..1'
    yield (gate.relative_error or 0) >= 0, 'quantisation.gate.relative_error must be at least 0'


def _of_classes_and_points(spec: ModelSpec) -> Iterator[Demand]:
    yield all(spec.class_names), 'a class needs a name'
    yield (
        all(0 <= level <= 255 for c in spec.classes for level in c.color or ()),
        'colors must be [red, green, blue], each 0..255',
    )
    yield (
        all(0 <= i < len(spec.key_points) for pair in spec.skeleton for i in pair),
        f'skeleton joins key points by index, 0 to {len(spec.key_points) - 1}, as many as '
        '`key_points` names',
    )
    yield (
        spec.task != 'semantic' or len(spec.classes) < 255,
        'a semantic model has at most 254 classes, since id 255 means unlabelled',
    )
