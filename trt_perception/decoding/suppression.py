"""Non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.greedy import (
    BLOCK,
    Indices,
    beginning_within,
    keep_greedily,
    on_one_line,
)


def suppress(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[Any],
    iou: float,
    max_detections: int,
) -> NDArray[np.intp]:
    """Greedy suppression within each class, exact.

    Goes through the boxes by falling score, the lower index first where scores are equal, and
    keeps a box unless its IoU with a kept box of its class is greater than `iou`. Boxes that
    are not finite or have no area, and those whose score is not finite, are left out.

    Boxes are compared only with those that they overlap along x, found by sorting. Thirty
    thousand candidates of which 300 are kept take some tens of milliseconds.

    Args:
        boxes: [N, 4], x1 y1 x2 y2.
        scores: [N].
        class_ids: int [N].
        iou: greatest allowed IoU, 0..1.
        max_detections: at most so many indices are returned.

    Returns:
        Indices of the kept boxes by falling score.
    """
    usable = np.isfinite(boxes).all(axis=1) & np.isfinite(scores) & with_area(boxes)
    rows = np.flatnonzero(usable)
    return rows[suppress_usable(boxes[rows], scores[rows], class_ids[rows], iou, max_detections)]


def suppress_usable(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[Any],
    iou: float,
    max_detections: int,
) -> NDArray[np.intp]:
    """The same, where all boxes are known to have an area and all numbers to be finite."""
    order: Indices = (-scores).argsort(kind='stable')
    candidates = _Candidates.prepare(boxes[order], class_ids[order])
    kept = keep_greedily(
        lambda first, second: candidates.pairs(first, second, iou), len(order), max_detections
    )
    return order[kept]


def with_area(boxes: NDArray[Any]) -> NDArray[np.bool_]:
    """bool [N], which of the boxes x1 y1 x2 y2 have an area; NaN has none."""
    ends: NDArray[np.bool_] = boxes[:, 2:] > boxes[:, :2]
    return ends[:, 0] & ends[:, 1]


@dataclass(frozen=True)
class _Candidates:
    """Boxes by falling score, ready for comparison.

    Attributes:
        corners: float64 [4, N], x1 y1 x2 y2.
        areas: float64 [N].
        starts, stops: float64 [N], where a box lies along x; see `greedy.on_one_line`.
    """

    corners: NDArray[np.float64]
    areas: NDArray[np.float64]
    starts: NDArray[np.float64]
    stops: NDArray[np.float64]

    @classmethod
    def prepare(cls, boxes: NDArray[np.float32], class_ids: NDArray[Any]) -> _Candidates:
        corners = np.ascontiguousarray(boxes.T, np.float64)
        x1, y1, x2, y2 = corners
        return cls(corners, (x2 - x1) * (y2 - y1), *on_one_line(x1, x2, class_ids))

    def pairs(self, first: Indices, second: Indices, iou: float) -> tuple[Indices, Indices]:
        """Pairs with an IoU greater than `iou` whose second box begins within the first one."""
        one, other = beginning_within(self.starts, self.stops, first, second)
        if len(one) > BLOCK:  # most of many pairs lie one above the other
            meet = self._extent(one, other, 1) > 0
            one, other = one[meet], other[meet]
        overlap = self._iou(one, other) > iou
        return one[overlap], other[overlap]

    def _iou(self, one: Indices, other: Indices) -> NDArray[np.float64]:
        shared = np.maximum(self._extent(one, other, 0), 0.0)
        shared *= np.maximum(self._extent(one, other, 1), 0.0)
        iou: NDArray[np.float64] = shared / (self.areas.take(one) + self.areas.take(other) - shared)
        return iou

    def _extent(self, one: Indices, other: Indices, axis: int) -> NDArray[np.float64]:
        """How far the boxes of each pair overlap along an axis; negative if they lie apart."""
        low, high = self.corners[axis], self.corners[axis + 2]
        begin = np.maximum(low.take(one), low.take(other))
        extent: NDArray[np.float64] = np.minimum(high.take(one), high.take(other)) - begin
        return extent
