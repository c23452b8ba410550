"""RetinaNet-style outputs: deltas from anchors at five levels, and one score per class.

The network returns deltas [B, N, 4] and scores [B, N, classes], level by level, without a
background. "Focal Loss for Dense Object Detection", Lin et al. 2017; the defaults are those of
torchvision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import Activation, activation_of, likely
from trt_perception.decoding.candidates import Candidates
from trt_perception.decoding.deltas import Priors, boxes_from, clipped
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.pairs import candidates_of
from trt_perception.decoding.prior_boxes import at_cells, octave_extents
from trt_perception.decoding.roles import Role, assign
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Result
from trt_perception.tensor_spec import TensorSpec


class RetinanetOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        strides: of the levels, in pixels.
        sizes: of each level's anchors, the square roots of their areas in pixels.
        aspect_ratios: height / width of the anchors.
        spacing: pixels between anchors: 'floor' is the input's extent divided by the cells of
            a level and rounded down, as torchvision does; 'stride' is the level's stride.
        shift: where in its cell an anchor's centre lies, in cells: 0 in torchvision.
        rounded: whether half the anchors' extents are whole pixels, as in torchvision.
        variances: what the four deltas are multiplied by.
        activation: what the scores still need; None asks the graph.
    """

    strides: tuple[int, ...] = (8, 16, 32, 64, 128)
    sizes: tuple[tuple[float, ...], ...] = (
        (32, 40, 50),
        (64, 80, 101),
        (128, 161, 203),
        (256, 322, 406),
        (512, 645, 812),
    )
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    spacing: Literal['floor', 'stride'] = 'floor'
    shift: float = 0.0
    rounded: bool = True
    variances: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    activation: Activation | None = None


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> RetinanetDecoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it, or its anchors do not fit them.
        ModelSpecError: an option is wrong.
    """
    return RetinanetDecoder(spec, outputs)


class RetinanetDecoder:
    """Decodes deltas and scores; every class of an anchor that scores enough is a candidate."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Compute the anchors and find the outputs. See `configure`."""
        options = options_of(spec, RetinanetOptions)
        self._anchors = _anchors(spec, options)
        self._variances = options.variances
        classes = len(spec.classes)
        self._deltas = Role(
            'deltas [batch, anchors, 4]',
            (-1, -1, 4),
            ('bbox_regression', 'boxes', 'regression', 'bbox_reg'),
        )
        self._scores = Role(
            f'scores [batch, anchors, {classes} classes]',
            (-1, -1, classes),
            ('cls_logits', 'scores', 'classification', 'logits'),
        )
        chosen = assign('retinanet', outputs, {'deltas': self._deltas, 'scores': self._scores})
        self._names = chosen['deltas'].name, chosen['scores'].name
        self._activation = activation_of(spec, self._names[1], options.activation, 'sigmoid')
        self._size = spec.input.size
        self._check_rows(chosen['deltas'].shape[1], chosen['scores'].shape[1])

    def _check_rows(self, *rows: int) -> None:
        for count in rows:
            if count not in (-1, len(self._anchors)):
                raise ModelOutputError(
                    f'the network has {count} anchors, but the options make '
                    f'{len(self._anchors)} for the input size {self._size[0]}x{self._size[1]}. '
                    'Correct input.size, or strides, sizes and aspect_ratios under `options`'
                )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        deltas = self._deltas.batch(outputs, self._names[0], len(letterboxes))
        scores = self._scores.batch(outputs, self._names[1], len(letterboxes))
        self._check_rows(deltas.shape[1], scores.shape[1])
        return [
            objects(self._candidates(d, s, settings), letterbox, settings)
            for d, s, letterbox in zip(deltas, scores, letterboxes, strict=False)
        ]

    def _candidates(
        self, deltas: NDArray[Any], scores: NDArray[Any], settings: DecodeSettings
    ) -> Candidates:
        """Of one image: deltas [N, 4], scores [N, classes]."""

        def corners(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            moved = deltas[rows].astype(np.float32)
            return clipped(boxes_from(self._anchors[rows], moved, self._variances), self._size)

        return candidates_of(likely(scores, self._activation, settings.score), corners, settings)


def _anchors(spec: ModelSpec, options: RetinanetOptions) -> Priors:
    """float32 [N, 4], level by level."""
    levels = len(options.strides)
    numbers = [*options.strides, *options.aspect_ratios, *options.variances]
    numbers += [size for level in options.sizes for size in level]
    if len(options.sizes) != levels or not levels:
        raise ModelSpecError(
            f'{spec.name}: options: strides has {levels} levels, sizes has {len(options.sizes)}; '
            'they must have the same, at least one'
        )
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ModelSpecError(
            f'{spec.name}: options: strides, sizes, aspect_ratios and variances must be finite '
            'and greater than 0'
        )
    size = spec.input.size
    parts = []
    for stride, sizes in zip(options.strides, options.sizes, strict=True):
        cells = (-(-size[0] // stride), -(-size[1] // stride))
        step = (float(stride), float(stride))
        if options.spacing == 'floor':
            step = (float(size[0] // cells[0]), float(size[1] // cells[1]))
        extents = octave_extents(sizes, options.aspect_ratios, rounded=options.rounded)
        parts.append(at_cells(cells, step, extents, shift=options.shift))
    return np.concatenate(parts)
