"""From a grid of logits or class ids to the class of every source pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.interpolation import Axis, axes_of
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import UNLABELLED

_CHUNK = 16384
"""Pixels interpolated at once; their logits stay in the processor's cache."""


def nearest_classes(
    ids: NDArray[Any], letterbox: Letterbox, table: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The class of the cell that each source pixel's centre lies in.

    Args:
        ids: int [h, w], covering the network's input.
        letterbox: how the source image was placed there.
        table: uint8 [256], what becomes of each id; ids outside 0..255 count as `UNLABELLED`.

    Returns:
        uint8 [H, W] of the source's size.
    """
    x_axis, y_axis = axes_of(letterbox, (ids.shape[1], ids.shape[0]))
    # Wider than int8, which does not hold UNLABELLED; very large ids wrap and become negative.
    wide = ids.astype(np.int64)
    known = np.where((wide >= 0) & (wide < UNLABELLED), wide, UNLABELLED)
    return _spread(table[known], x_axis.nearest, y_axis.nearest)


def interpolated_classes(
    logits: NDArray[np.float32], letterbox: Letterbox, table: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The class with the highest bilinearly interpolated logit at each source pixel's centre.

    Between four cells of one class that class wins everywhere: it has the highest logit at the
    corners, hence in every weighted mean of them. So only pixels between cells of different
    classes are interpolated. Of equal logits the first class wins. Logits that are not finite
    make every pixel they have a part in `UNLABELLED`.

    Args:
        logits: float32 [classes, h, w], covering the network's input; at most 255 classes.
        letterbox: how the source image was placed there.
        table: uint8 [256], what becomes of each class.

    Returns:
        uint8 [H, W] of the source's size.
    """
    height, width = logits.shape[1:]
    x_axis, y_axis = axes_of(letterbox, (width, height))
    labels, damaged = _labels(logits)
    if damaged.any():
        logits = np.where(damaged, np.float32(np.nan), logits)
        labels[damaged] = UNLABELLED
    classes = _spread(table[labels], x_axis.lower, y_axis.lower)
    x_runs, y_runs = _runs_of(letterbox, (width, height))
    mixed = _spread(_mixed(labels), x_runs.lower, y_runs.lower)
    rows, columns = np.divmod(np.flatnonzero(mixed), mixed.shape[1])
    tiles = max(_CHUNK // (x_runs.longest * y_runs.longest), 1)
    for start in range(0, len(rows), tiles):
        part = slice(start, start + tiles)
        _interpolate(
            logits, x_runs.some(columns[part]), y_runs.some(rows[part]), table, out=classes
        )
    return classes


def _spread(
    cells: NDArray[np.uint8], columns: NDArray[np.intp], rows: NDArray[np.intp]
) -> NDArray[np.uint8]:
    """cells[rows][:, columns]. Whole rows are copied many times faster than single columns."""
    wide = cv2.transpose(cv2.transpose(cells).take(columns, axis=0))
    return np.asarray(wide.take(rows, axis=0), np.uint8)


def _labels(logits: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """uint8 [h, w], the first class with the highest logit; bool, where one is not finite."""
    with np.errstate(invalid='ignore', over='ignore'):
        return _first_highest(logits), ~np.isfinite(logits.sum(axis=0))


def _first_highest(planes: Any) -> NDArray[np.uint8]:
    """Index of the first one of the float32 arrays that is highest, for each element."""
    planes = iter(planes)
    best = next(planes).copy()
    index = np.zeros(best.shape, np.uint8)
    higher = np.empty(best.shape, np.bool_)
    candidate = np.empty(best.shape, np.uint8)
    for number, plane in enumerate(planes, 1):
        np.greater(plane, best, out=higher)
        np.maximum(plane, best, out=best)
        # Numbers rise, so the maximum is the last class that was higher than all before.
        np.multiply(higher.view(np.uint8), np.uint8(number), out=candidate)
        np.maximum(index, candidate, out=index)
    index[np.isnan(best)] = UNLABELLED
    return index


def _mixed(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [h, w]: not 0 where a cell, its right, lower and lower right neighbours differ."""
    mixed = np.zeros(labels.shape, np.uint8)
    mixed[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    mixed[:-1] |= labels[:-1] != labels[1:]
    mixed[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return mixed


@dataclass(frozen=True)
class _Runs:
    """Runs of source pixels along one axis that lie between the same two cells.

    Attributes:
        lower, upper: intp [runs], the cells.
        pixels: intp [longest, runs], the pixels; shorter runs repeat their last one.
        fraction: float32 [longest, runs], the weight of the upper cell at each pixel.
    """

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    pixels: NDArray[np.intp]
    fraction: NDArray[np.float32]

    @property
    def longest(self) -> int:
        """Pixels of the longest run."""
        return len(self.pixels)

    def some(self, runs: NDArray[np.intp]) -> _Runs:
        """These runs, in this order."""
        return _Runs(
            self.lower[runs], self.upper[runs], self.pixels[:, runs], self.fraction[:, runs]
        )


@lru_cache(maxsize=8)
def _runs_of(letterbox: Letterbox, grid: tuple[int, int]) -> tuple[_Runs, _Runs]:
    x_axis, y_axis = axes_of(letterbox, grid)
    return _runs(x_axis), _runs(y_axis)


def _runs(axis: Axis) -> _Runs:
    lower = axis.lower
    begins = np.flatnonzero(np.diff(lower, prepend=-1))
    lengths = np.diff(begins, append=len(lower))
    # Runs at the rim are longer, since values continue beyond the outermost centres: cut them.
    longest = int(lengths[1:-1].max(initial=1))
    begins = np.concatenate(
        [np.arange(b, b + n, longest) for b, n in zip(begins, lengths, strict=True)]
    )
    ends = np.append(begins[1:], len(lower))
    pixels = np.minimum(begins + np.arange(longest)[:, None], ends - 1)
    return _Runs(lower[begins], axis.upper[begins], pixels, axis.fraction[pixels])


def _interpolate(
    logits: NDArray[np.float32],
    x: _Runs,
    y: _Runs,
    table: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Write the classes of the pixels of N tiles; tile i is run i of `x` by run i of `y`."""
    rows, columns = (y.lower, y.lower, y.upper, y.upper), (x.lower, x.upper, x.lower, x.upper)
    corners = np.array([logits[:, r, c] for r, c in zip(rows, columns, strict=True)])
    values = np.empty((y.longest, x.longest, len(x.lower)), np.float32)
    index = y.pixels[:, None] * out.shape[1] + x.pixels
    planes = (
        _bilinear(corners[:, plane], x.fraction, y.fraction, values) for plane in range(len(logits))
    )
    out.reshape(-1)[index] = table[_first_highest(planes)]


def _bilinear(
    corners: NDArray[np.float32],
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    out: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Interpolate between four corners in N places.

    Args:
        corners: [4, N], upper left, upper right, lower left, lower right.
        across: [columns, N], fractions of the way to the right.
        down: [rows, N], fractions of the way down.
        out: [rows, columns, N], filled and returned.
    """
    upper_left, upper_right, lower_left, lower_right = corners
    above = upper_left + (upper_right - upper_left) * across
    below = lower_left + (lower_right - lower_left) * across
    np.multiply(below - above, down[:, None], out=out)
    out += above
    return out
