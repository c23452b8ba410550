"""Suppression of rotated boxes by ProbIoU.

ProbIoU takes each box as a normal distribution of its centre and covariance and is one minus the
Hellinger distance of two of them: Murrugarra-Llerena, Kirsten, Zeni, Jung, "Probabilistic
Intersection-over-Union for Training and Evaluation of Oriented Object Detectors",
arXiv:2106.06072. Models with oriented boxes of Ultralytics are trained and evaluated with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.greedy import (
    BLOCK,
    Indices,
    Pairs,
    beginning_within,
    keep_greedily,
    keep_of_block,
    on_one_line,
    without_overlaps,
)

_EPS = 1e-7
"""Added where Ultralytics adds it, so that limits are met alike."""


def suppress_rotated(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[Any],
    iou: float,
    max_detections: int,
    *,
    chains: bool = True,
) -> NDArray[np.intp]:
    """Suppression of rotated boxes within each class, exact.

    Args:
        boxes: [N, 5], centre x, centre y, width, height, angle in radians; finite, the extents
            greater than 0.
        scores: [N], finite; of equal ones the first counts as higher.
        class_ids: int [N].
        iou: greatest allowed ProbIoU, 0..1.
        max_detections: at most so many indices are returned.
        chains: whether boxes that are suppressed suppress others in their turn, as Ultralytics
            publishes it (its "fast" suppression); otherwise only kept ones do.

    Returns:
        Indices of the kept boxes by falling score.
    """
    order: Indices = np.argsort(-scores, kind='stable')
    shapes = _Gaussians.prepare(np.asarray(boxes, np.float64)[order], class_ids[order], iou)

    def pairs(first: Indices, second: Indices) -> tuple[Indices, Indices]:
        return shapes.pairs(first, second, iou)

    if chains:
        return order[_keep_unchallenged(pairs, len(order), max_detections)]
    return order[keep_greedily(pairs, len(order), max_detections)]


def _keep_unchallenged(pairs: Pairs, count: int, limit: int) -> Indices:
    """Keep each box that no better box, kept or not, overlaps too much; the best `limit`.

    All of them are kept by greedy suppression too, which leaves few boxes to compare with all.
    """
    kept: list[Indices] = []
    greedy: Indices = np.arange(0)
    found = 0
    for start in range(0, count, BLOCK):
        if found >= limit:
            break
        block: Indices = np.arange(start, min(start + BLOCK, count))
        block = keep_of_block(pairs, without_overlaps(pairs, greedy, block))
        greedy = np.concatenate([greedy, block])
        challenged = _challenged(pairs, block, start)
        kept.append(block[~np.isin(block, challenged)])
        found += len(kept[-1])
    return np.concatenate(kept)[:limit] if kept else greedy


def _challenged(pairs: Pairs, block: Indices, start: int) -> Indices:
    """Those of `block` that overlap a better box; with `start` the block began."""
    hit: list[Indices] = []
    for chunk in range(0, start + BLOCK, BLOCK):
        others: Indices = np.arange(chunk, min(chunk + BLOCK, int(block.max(initial=-1)) + 1))
        for better, worse in (pairs(others, block), pairs(block, others)[::-1]):
            hit.append(worse[better < worse])
    return np.concatenate(hit)


@dataclass(frozen=True)
class _Gaussians:
    """Boxes by falling score as normal distributions, ready for comparison.

    Attributes:
        x, y: float64 [N], the centres.
        a, b, c: float64 [N], variance along x, along y, covariance.
        roots: float64 [N], the root of each covariance's determinant.
        starts, stops: float64 [N], intervals along x that meet where two boxes of one class may
            exceed the limit; see `_prepare_reach`.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    roots: NDArray[np.float64]
    starts: NDArray[np.float64]
    stops: NDArray[np.float64]

    @classmethod
    def prepare(cls, boxes: NDArray[np.float64], class_ids: NDArray[Any], iou: float) -> _Gaussians:
        x, y, width, height, angle = boxes.T
        along, across = width**2 / 12, height**2 / 12
        cos, sin = np.cos(angle), np.sin(angle)
        a = along * cos**2 + across * sin**2
        b = along * sin**2 + across * cos**2
        c = (along - across) * cos * sin
        reach = _reach(iou) * np.maximum(width, height)
        return cls(
            x, y, a, b, c,
            np.sqrt(np.maximum(a * b - c * c, 0)),
            *on_one_line(x - reach, x + reach, class_ids),
        )  # fmt: skip

    def pairs(self, first: Indices, second: Indices, iou: float) -> tuple[Indices, Indices]:
        """Pairs with a ProbIoU greater than `iou`; see `greedy.Pairs`."""
        one, other = beginning_within(self.starts, self.stops, first, second)
        overlap = self._prob_iou(one, other) > iou
        return one[overlap], other[overlap]

    def _prob_iou(self, one: Indices, other: Indices) -> NDArray[np.float64]:
        """One minus the Hellinger distance of each pair."""
        a, b, c = (v.take(one) + v.take(other) for v in (self.a, self.b, self.c))
        x, y = self.x.take(other) - self.x.take(one), self.y.take(other) - self.y.take(one)
        determinant = a * b - c * c
        near = (a * y**2 + b * x**2 - 2 * c * x * y) / (4 * (determinant + _EPS))
        alike = determinant / (4 * self.roots.take(one) * self.roots.take(other) + _EPS) + _EPS
        distance = np.clip(near + np.log(np.maximum(alike, _EPS)) / 2, _EPS, 100.0)
        result: NDArray[np.float64] = 1 - np.sqrt(1 - np.exp(-distance) + _EPS)
        return result


def _reach(iou: float) -> float:
    """How far a box can suppress along x, as a share of its longer side.

    A ProbIoU above `iou` means a Bhattacharyya distance below -log(1 - (1 - iou)**2). Its first
    term is at least d**2 / (4 * v), with d the distance of the centres and v the sum of the
    longer sides' squares over 12, and its second is not negative. So d is at most the sum of the
    longer sides times the root of a third of that limit. The eps in the formula matters only
    to boxes of an area below a hundredth of a pixel.
    """
    limit = -np.log(max(1 - (1 - iou) ** 2, 1e-8))
    return float(np.sqrt(limit / 3)) * 1.001 + 1e-9
