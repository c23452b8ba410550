"""How far two results of the same image agree: objects, masks, pixels, classes or embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trt_perception.results import (
    UNLABELLED,
    Classification,
    Detections,
    Embedding,
    InstanceMask,
    Result,
    SegmentationMap,
)

MATCHING_IOU = 0.5
"""Two objects of one class that overlap at least so much are the same."""

MATCHING_COSINE = 0.9
"""Two embeddings of one image with at least this cosine are the same. Those of two pictures of
one face are taken for the same person far below it."""


@dataclass
class Agreement:
    """Objects, pixels or images on which two kinds of results agree, over all images.

    Of classes the most likely one counts. Of embeddings the cosine is the overlap.

    Attributes:
        certain: an object without a partner counts only if its score is at least this.
    """

    certain: float
    both: int = 0
    either: float = 0.0
    overlaps: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of all objects, labelled pixels or images on which both agree; 1 without any."""
        return self.both / self.either if self.either else 1.0

    @property
    def overlap(self) -> float:
        """Mean overlap of the objects that both have; 1 if there are none."""
        return float(np.mean(self.overlaps)) if self.overlaps else 1.0

    def add(self, reference: Result, candidate: Result) -> None:
        """Count one image."""
        if isinstance(reference, SegmentationMap) and isinstance(candidate, SegmentationMap):
            labelled = reference.class_ids != UNLABELLED
            same = (reference.class_ids == candidate.class_ids) & labelled
            self.both += int(same.sum())
            self.either += int(labelled.sum())
        elif isinstance(reference, Detections) and isinstance(candidate, Detections):
            pairs = matched(reference, candidate)
            self.both += len(pairs)
            self.overlaps += [overlap for _, _, overlap in pairs]
            alone = [
                self._certain(reference, {i for i, _, _ in pairs}),
                self._certain(candidate, {j for _, j, _ in pairs}),
            ]
            self.either += len(pairs) + sum(alone) / 2
        elif isinstance(reference, Classification) and isinstance(candidate, Classification):
            self.both += int(np.array_equal(reference.class_ids[:1], candidate.class_ids[:1]))
            self.either += 1
        elif isinstance(reference, Embedding) and isinstance(candidate, Embedding):
            alike = not reference.vector.any() and not candidate.vector.any()
            cosine = 1.0 if alike else float(reference.vector @ candidate.vector)
            self.both += int(cosine >= MATCHING_COSINE)
            self.either += 1
            self.overlaps.append(cosine)

    def _certain(self, detections: Detections, found: set[int]) -> int:
        """Objects without a partner that cannot be blamed on the score's threshold."""
        scores = enumerate(detections.scores)
        return sum(1 for i, score in scores if i not in found and score >= self.certain)


def matched(reference: Detections, candidate: Detections) -> list[tuple[int, int, float]]:
    """Pairs of the same object: (index, index, overlap).

    Objects of one class are paired in order of falling overlap of their boxes, each at most
    once, down to `MATCHING_IOU`. The overlap given is that of their masks if both have masks.
    """
    if not len(reference) or not len(candidate):
        return []
    overlaps = pairwise_iou(reference.boxes, candidate.boxes)
    overlaps = np.where(
        reference.class_ids[:, None] == candidate.class_ids[None], overlaps, np.float32(0)
    )
    rows, columns = np.nonzero(overlaps >= MATCHING_IOU)
    order = np.argsort(-overlaps[rows, columns], kind='stable')
    pairs: list[tuple[int, int, float]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for place in order:
        i, j = int(rows[place]), int(columns[place])
        if i in used[0] or j in used[1]:
            continue
        used[0].add(i)
        used[1].add(j)
        overlap = float(overlaps[i, j])
        if reference.masks is not None and candidate.masks is not None:
            overlap = mask_iou(reference.masks[i], candidate.masks[j])
        pairs.append((i, j, overlap))
    return pairs


def pairwise_iou(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4], x1 y1 x2 y2; 0 without area."""
    a, b = one.astype(np.float64)[:, None], other.astype(np.float64)[None]
    extent = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(extent, 0, None).prod(axis=-1)
    areas = [(x[..., 2:] - x[..., :2]).prod(axis=-1) for x in (a, b)]
    union = areas[0] + areas[1] - shared
    result: NDArray[np.float64] = np.zeros_like(shared)
    np.divide(shared, union, out=result, where=union > 0)
    return result


def mask_iou(one: InstanceMask, other: InstanceMask) -> float:
    """Intersection over union of two masks of one image; 1 if both are empty."""
    total = int(one.bits.sum()) + int(other.bits.sum())
    if not total:
        return 1.0
    left, top = max(one.x, other.x), max(one.y, other.y)
    cuts = [mask.bits[max(top - mask.y, 0) :, max(left - mask.x, 0) :] for mask in (one, other)]
    rows, columns = (min(cut.shape[axis] for cut in cuts) for axis in (0, 1))
    shared = int((cuts[0][:rows, :columns] & cuts[1][:rows, :columns]).sum())
    return shared / (total - shared)
