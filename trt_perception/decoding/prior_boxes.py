"""Prior boxes: the boxes that a detector's deltas start from, one set for each cell of each level.

A level's cells are gone through row by row; the boxes of one cell follow each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.deltas import Priors

Size = tuple[int, int]
"""(width, height)."""


def at_cells(
    cells: Size,
    step: tuple[float, float],
    extents: NDArray[np.float64],
    *,
    shift: float = 0.5,
) -> Priors:
    """One set of boxes at each cell of a level.

    Args:
        cells: (columns, rows).
        step: pixels from one cell to the next, for x and y.
        extents: float64 [K, 2], widths and heights of a cell's boxes, in pixels.
        shift: where in its cell a box's centre lies, in cells.

    Returns:
        float32 [rows * columns * K, 4].
    """
    x = (np.arange(cells[0]) + shift) * step[0]
    y = (np.arange(cells[1]) + shift) * step[1]
    centres = np.stack(np.broadcast_arrays(x[None, :, None], y[:, None, None]), axis=-1)
    shape = (cells[1], cells[0], len(extents), 2)
    boxes = [np.broadcast_to(centres, shape), np.broadcast_to(extents, shape)]
    priors: Priors = np.concatenate(boxes, axis=-1).reshape(-1, 4).astype(np.float32)
    return priors


def single_shot_extents(
    scale: float, next_scale: float | None, ratios: Sequence[float], size: Size, *, clipped: bool
) -> NDArray[np.float64]:
    """Boxes of one SSD cell: a square, a larger square, and two of each aspect ratio.

    "SSD: Single Shot MultiBox Detector", Liu et al. 2016, section 2.2, in the order of its
    Caffe implementation and of torchvision.

    Args:
        scale: the boxes' size, as a share of the input's.
        next_scale: that of the next level, for the larger square; None leaves it out.
        ratios: width / height, each above 1; its inverse is added.
        size: of the network's input.
        clipped: whether shares above 1 count as 1, as in torchvision.

    Returns:
        float64 [K, 2] in pixels.
    """
    shares = [(scale, scale)]
    if next_scale is not None:
        larger = math.sqrt(scale * next_scale)
        shares.append((larger, larger))
    for ratio in ratios:
        root = math.sqrt(ratio)
        shares += [(scale * root, scale / root), (scale / root, scale * root)]
    extents: NDArray[np.float64] = np.minimum(shares, 1.0 if clipped else np.inf) * size
    return extents


def octave_extents(
    sizes: Sequence[float], ratios: Sequence[float], *, rounded: bool
) -> NDArray[np.float64]:
    """Boxes of one RetinaNet cell: every size in every aspect ratio, ratio by ratio.

    "Focal Loss for Dense Object Detection", Lin et al. 2017, section 4.

    Args:
        sizes: square roots of the boxes' areas, in pixels.
        ratios: height / width.
        rounded: whether half the extents are rounded to whole pixels, as torchvision does.

    Returns:
        float64 [K, 2] in pixels.
    """
    roots = np.sqrt(np.asarray(ratios, np.float64))[:, None]
    lengths = np.asarray(sizes, np.float64)[None]
    extents = np.stack([lengths / roots, lengths * roots], axis=-1).reshape(-1, 2)
    return np.rint(extents / 2) * 2 if rounded else extents
