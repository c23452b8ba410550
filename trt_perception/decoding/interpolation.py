"""Linear interpolation between the cells of an output grid, at the centres of source pixels.

A grid of cells covers the network's input at some stride; cell j has its value at its centre,
j + 0.5 in cell coordinates. Beyond the centres of the outermost cells their values continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trt_perception.preprocessing.letterbox import Letterbox


@dataclass(frozen=True)
class Axis:
    """How the source pixels of one axis lie in the cells; do not write to the arrays.

    Attributes:
        lower, upper: intp [pixels], the two cells that a pixel's centre lies between.
        fraction: float32 [pixels] in 0..1, the weight of the upper one.
        nearest: intp [pixels], the cell that the pixel's centre lies in.
    """

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    fraction: NDArray[np.float32]
    nearest: NDArray[np.intp]

    def part(self, first: int, stop: int) -> Part:
        """The pixels from `first` to before `stop`, at least one, with their own cells."""
        lower, upper = self.lower[first:stop], self.upper[first:stop]
        start = lower[0]
        cells = slice(start, upper[-1] + 1)
        return Part(cells, lower - start, upper - start, self.fraction[first:stop])


@dataclass(frozen=True)
class Part:
    """Some neighbouring pixels of an axis.

    Attributes:
        cells: those that take part.
        lower, upper: intp [pixels], as in `Axis`, counted from the first one of `cells`.
        fraction: as in `Axis`.
    """

    cells: slice
    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    fraction: NDArray[np.float32]


@lru_cache(maxsize=8)
def axes_of(letterbox: Letterbox, grid: tuple[int, int]) -> tuple[Axis, Axis]:
    """The x and the y axis of a grid of (width, height) cells over the network's input.

    Kept for the last few geometries, since most frames have that of the frame before.
    """
    x, y = (_axis_of(letterbox, grid[axis], axis) for axis in (0, 1))
    return x, y


def _axis_of(letterbox: Letterbox, cells: int, axis: int) -> Axis:
    stride = letterbox.network[axis] / cells
    centres = np.arange(letterbox.source[axis]) + 0.5
    position = (centres * letterbox.scale[axis] + letterbox.offset[axis]) / stride
    nearest = np.clip(position.astype(np.intp), 0, cells - 1)
    between = np.clip(position - 0.5, 0, cells - 1)
    lower = np.minimum(between.astype(np.intp), max(cells - 2, 0))
    upper = np.minimum(lower + 1, cells - 1)
    return Axis(lower, upper, (between - lower).astype(np.float32), nearest)
