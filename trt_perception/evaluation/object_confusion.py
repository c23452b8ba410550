"""Which class objects are taken for: a confusion matrix of detections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_perception.building.agreement import MATCHING_IOU, pairwise_iou
from trt_perception.evaluation.dataset import IGNORED, TrueObjects
from trt_perception.results import Detections


def object_confusion(
    truth: TrueObjects,
    found: Detections,
    count: int,
    *,
    score: float,
    truth_classes: NDArray[np.uint8],
    found_classes: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Objects of one image by true class (row) and found class (column), int64 [count+1, count+1].

    Each detection, the most certain first, takes the free object that its box overlaps most, by
    at least `MATCHING_IOU`, of whatever class. The last row holds detections without an object,
    the last column objects that nothing found. Crowds and classes not judged are left out, and
    so are detections that lie on them.

    Args:
        truth: the objects.
        found: what was found.
        count: of classes judged.
        score: detections below it are left out.
        truth_classes, found_classes: uint8 [256], from each side's class ids to those judged.
    """
    matrix = np.zeros((count + 1, count + 1), np.int64)
    kinds = truth_classes[truth.class_ids]
    guesses = found_classes[found.class_ids]
    overlaps = pairwise_iou(found.boxes, truth.boxes.astype(np.float32))
    judged = (kinds != IGNORED) & ~truth.crowd
    free = judged.copy()
    for index in np.argsort(-found.scores, kind='stable'):
        if found.scores[index] < score or guesses[index] == IGNORED:
            continue
        candidates = np.where(free, overlaps[index], 0.0)
        best = int(candidates.argmax()) if candidates.size else -1
        if best >= 0 and candidates[best] >= MATCHING_IOU:
            free[best] = False
            matrix[kinds[best], guesses[index]] += 1
        elif not (overlaps[index][~judged] >= MATCHING_IOU).any():
            matrix[count, guesses[index]] += 1
    np.add.at(matrix, (kinds[free], count), 1)
    return matrix
