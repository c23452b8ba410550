"""Candidates for objects: what a network proposes in one image, before suppression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.results import DecodeSettings

MAX_CANDIDATES = 30000
"""At most so many anchors of an image enter suppression, those with the highest scores."""


@dataclass(frozen=True)
class Candidates:
    """What may be an object. Scores are finite; boxes and extras need not be.

    Attributes:
        boxes: float32 [N, 4], in network pixels: x1 y1 x2 y2, or centre x, centre y, width,
            height of boxes that are rotated.
        scores: float32 [N], in 0..1.
        class_ids: int64 [N].
        extras: float32 [N, E], what the task adds: mask coefficients, key points or an angle.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    extras: NDArray[np.float32]

    def some(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """These of them, in this order."""
        return Candidates(
            self.boxes[which], self.scores[which], self.class_ids[which], self.extras[which]
        )


@dataclass(frozen=True)
class Scored:
    """Anchors whose best class scores high enough.

    Attributes:
        anchors: intp [N], rising.
        scores: float32 [N], in 0..1.
        class_ids: int64 [N], the class with the highest score, the first one of equals.
    """

    anchors: NDArray[np.intp]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


def best_of_classes(class_scores: NDArray[np.float32], settings: DecodeSettings) -> Scored:
    """Anchors whose best score reaches the threshold, the class filter applied after that.

    Args:
        class_scores: float32 [classes, anchors]; an anchor with a NaN is left out.
        settings: score threshold and class filter.
    """
    best = class_scores.max(axis=0)
    anchors = ((best >= settings.score) & (best < np.inf)).nonzero()[0]
    anchors = strongest(anchors, best[anchors])
    class_ids = class_scores.take(anchors, axis=1).argmax(axis=0)
    if settings.class_filter is not None:
        wanted = np.isin(class_ids, list(settings.class_filter))
        anchors, class_ids = anchors[wanted], class_ids[wanted]
    scores = np.minimum(best[anchors], np.float32(1.0))
    return Scored(anchors, scores, class_ids.astype(np.int64, copy=False))


def strongest(anchors: NDArray[np.intp], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """The `MAX_CANDIDATES` anchors with the highest of their scores, rising."""
    if len(anchors) <= MAX_CANDIDATES:
        return anchors
    order = np.argsort(-scores, kind='stable')[:MAX_CANDIDATES]
    return anchors[np.sort(order)]


def corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N, 4] centre x, centre y, width, height -> x1 y1 x2 y2."""
    result = np.empty_like(boxes)
    half = boxes[:, 2:] * np.float32(0.5)
    np.subtract(boxes[:, :2], half, out=result[:, :2])
    np.add(boxes[:, :2], half, out=result[:, 2:])
    return result
