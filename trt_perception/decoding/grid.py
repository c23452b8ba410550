"""The cells of a network's heads: which anchor belongs to which cell of which stride."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ModelSpec

_USUAL = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (4, 8, 16, 32, 64), (16, 32))
"""Strides that published models have."""

_MOST_PER_CELL = 9


@dataclass(frozen=True)
class Grid:
    """One anchor in each cell, stride by stride, row by row.

    Attributes:
        corners: float32 [anchors, 2], x and y of the cell's upper left corner in cells.
        strides: float32 [anchors, 1], pixels of a cell.
    """

    corners: NDArray[np.float32]
    strides: NDArray[np.float32]

    @classmethod
    def of(cls, size: tuple[int, int], strides: tuple[int, ...]) -> Grid:
        """The cells of an input of `size` (width, height); the last ones may be cut."""
        corners, steps = [], []
        for stride in strides:
            columns, rows = _extents(size, stride)
            y, x = np.mgrid[:rows, :columns].reshape(2, -1)
            corners.append(np.stack([x, y], axis=1))
            steps.append(np.full((len(x), 1), stride))
        return cls(
            np.concatenate(corners).astype(np.float32), np.concatenate(steps).astype(np.float32)
        )


def _extents(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Columns and rows of cells; the last ones may be cut."""
    return -(-size[0] // stride), -(-size[1] // stride)


def check_strides(spec: ModelSpec, strides: tuple[int, ...] | None) -> None:
    """Make sure that the option `strides` can be used.

    Raises:
        ModelSpecError: it is empty, or has a stride that is not in 1 to the input's extents.
    """
    if strides is None:
        return
    if not strides or not all(1 <= s <= min(spec.input.size) for s in strides):
        raise ModelSpecError(
            f'{spec.name}: options.strides is {list(strides)}; it must list the strides of the '
            f'heads in pixels, each 1 to {min(spec.input.size)}, such as [8, 16, 32]'
        )


def check_anchors(
    spec: ModelSpec,
    anchors: int,
    strides: tuple[int, ...] | None,
    *,
    most_per_cell: int = _MOST_PER_CELL,
) -> None:
    """Make sure that so many anchors are those of an input of the model's size.

    Args:
        spec: the model.
        anchors: of the network's output; -1 where left open.
        strides: of the heads; None allows those that published models have.
        most_per_cell: an output may have 1 to so many anchors in each cell.

    Raises:
        ModelOutputError: they are not.
    """
    sets = _USUAL if strides is None else (strides,)
    totals = {s: sum(prod(_extents(spec.input.size, one)) for one in s) for s in sets}
    if anchors == -1 or any(
        anchors % total == 0 and 1 <= anchors // total <= most_per_cell for total in totals.values()
    ):
        return
    width, height = spec.input.size
    known = ', '.join(f'{total} at strides {list(s)}' for s, total in totals.items())
    each = 'one anchor' if most_per_cell == 1 else f'1 to {most_per_cell} anchors'
    raise ModelOutputError(
        f'the output has {anchors} anchors, but an input of {width}x{height} has so many cells: '
        f'{known}, each with {each}. Correct `input: size` in the YAML, or state the strides of '
        'the heads under `options: {strides: [...]}`'
    )
