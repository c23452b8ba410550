"""The prior boxes that SSD models were trained with, by name or stated one by one."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from trt_perception.decoding.deltas import Priors
from trt_perception.decoding.family_options import FamilyOptions
from trt_perception.decoding.prior_boxes import Size, at_cells, single_shot_extents
from trt_perception.errors import ModelSpecError
from trt_perception.model_spec import ModelSpec

PriorName = Literal['ssd300', 'ssdlite320', 'mobilenet_ssd']


class PriorOptions(FamilyOptions, frozen=True):
    """The priors of a model; what is left out is taken from those named by `priors`.

    Attributes:
        priors: 'ssd300' and 'ssdlite320' as in torchvision, or 'mobilenet_ssd', the 1917 boxes
            of the Caffe model for 300x300.
        aspect_ratios: of each level, those above 1; their inverses are added.
        scales: of each level and one more, as shares of the input's size.
        second_square: of each level, whether it has the larger square.
        cells: columns and rows of each level.
        steps: pixels between cells of each level; None spreads them over the input.
        clip: whether extents larger than the input are cut to it.
        variances: what the deltas of centres and of extents are multiplied by.
    """

    priors: PriorName | None = None
    aspect_ratios: tuple[tuple[float, ...], ...] | None = None
    scales: tuple[float, ...] | None = None
    second_square: tuple[bool, ...] | None = None
    cells: tuple[tuple[int, int], ...] | None = None
    steps: tuple[float, ...] | None = None
    clip: bool | None = None
    variances: tuple[float, float] = (0.1, 0.2)

    @property
    def box_variances(self) -> tuple[float, float, float, float]:
        """One for each of dx dy dw dh."""
        centre, extent = self.variances
        return centre, centre, extent, extent


def _square(*extents: int) -> tuple[Size, ...]:
    return tuple((extent, extent) for extent in extents)


_KNOWN: dict[str, tuple[Size, PriorOptions]] = {
    'ssd300': (
        (300, 300),
        PriorOptions(
            aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
            scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
            cells=_square(38, 19, 10, 5, 3, 1),
            steps=(8, 16, 32, 64, 100, 300),
            clip=True,
        ),
    ),
    'ssdlite320': (
        (320, 320),
        PriorOptions(
            aspect_ratios=((2, 3),) * 6,
            scales=(0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0),
            cells=_square(20, 10, 5, 3, 2, 1),
            clip=True,
        ),
    ),
    'mobilenet_ssd': (
        (300, 300),
        PriorOptions(
            aspect_ratios=((2,), *((2, 3),) * 5),
            scales=(0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0),
            second_square=(False, True, True, True, True, True),
            cells=_square(19, 10, 5, 3, 2, 1),
            clip=False,
        ),
    ),
}
"""The input size and the options behind each name."""


def priors_of(spec: ModelSpec, options: PriorOptions) -> Priors:
    """The priors of a model, level by level.

    Raises:
        ModelSpecError: they are not stated in full, their levels differ in number, or those of
            the name belong to another input size.
    """
    complete = _completed(spec, options)
    ratios, scales, cells = complete.aspect_ratios, complete.scales, complete.cells
    if ratios is None or scales is None or cells is None:
        raise ModelSpecError(
            f'{spec.name}: raw SSD heads need priors: state `options: {{priors: NAME}}`, one of '
            f'{", ".join(_KNOWN)}, or aspect_ratios, scales and cells of each level'
        )
    levels = len(cells)
    squares = complete.second_square or (True,) * levels
    steps = complete.steps or (None,) * levels
    if not levels == len(ratios) == len(scales) - 1 == len(squares) == len(steps):
        raise ModelSpecError(
            f'{spec.name}: options: cells has {levels} levels, aspect_ratios {len(ratios)}, '
            f'second_square {len(squares)}, steps {len(steps)}; they must be the same, and '
            f'scales one more; it has {len(scales)}'
        )
    numbers = [*scales, *complete.variances, *(r for level in ratios for r in level)]
    numbers += [extent for level in cells for extent in level]
    numbers += [step for step in steps if step is not None]
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ModelSpecError(
            f'{spec.name}: options: aspect_ratios, scales, cells, steps and variances must be '
            'finite and greater than 0'
        )
    size = spec.input.size
    parts = []
    for level in range(levels):
        step = steps[level]
        pace = (size[0] / cells[level][0], size[1] / cells[level][1])
        following = scales[level + 1] if squares[level] else None
        extents = single_shot_extents(
            scales[level], following, ratios[level], size, clipped=complete.clip is not False
        )
        parts.append(at_cells(cells[level], (step, step) if step else pace, extents))
    return np.concatenate(parts)


def _completed(spec: ModelSpec, options: PriorOptions) -> PriorOptions:
    """The options, with what is missing taken from those of the name."""
    if options.priors is None:
        return options
    size, known = _KNOWN[options.priors]
    if spec.input.size != size and options.cells is None:
        raise ModelSpecError(
            f'{spec.name}: the priors {options.priors!r} belong to an input of '
            f'{size[0]}x{size[1]}, this one is {spec.input.size[0]}x{spec.input.size[1]}. Correct '
            'input.size, or state the cells and steps of each level under `options`'
        )

    return PriorOptions(
        aspect_ratios=options.aspect_ratios or known.aspect_ratios,
        scales=options.scales or known.scales,
        second_square=options.second_square or known.second_square,
        cells=options.cells or known.cells,
        # Steps belong to cells: those of the name do not go with other cells.
        steps=options.steps or (known.steps if options.cells is None else None),
        clip=known.clip if options.clip is None else options.clip,
        variances=options.variances,
    )
