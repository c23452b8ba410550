"""Intersection over union of semantic classes, as the Cityscapes benchmark defines it.

Pixels of all images are counted in one confusion matrix. IoU is TP / (TP + FP + FN). Pixels whose
true class is not judged count nowhere, neither as TP nor as FP nor as FN; a judged pixel that is
given no judged class counts as FN of its class. A category is one class made of its classes. The
means are over the classes, or categories, that are there or were said to be there. Source: the
public scripts of the data set, evalPixelLevelSemanticLabeling.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion_of(
    truth: NDArray[np.uint8], found: NDArray[np.uint8], count: int
) -> NDArray[np.int64]:
    """Pixels by true class (row) and found class (column), int64 [count, count + 1].

    The last column holds what was given no class below `count`. Pixels without a true class
    below `count` do not count.
    """
    known = truth < count
    labels = np.minimum(found[known], count).astype(np.int64)
    pairs = truth[known].astype(np.int64) * (count + 1) + labels
    return np.bincount(pairs, minlength=count * (count + 1)).reshape(count, count + 1)


def overlap_figures(
    confusion: NDArray[np.int64],
    names: Sequence[str],
    categories: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The figures of a confusion matrix, each in 0..1; None where nothing is to tell.

    Args:
        confusion: from `confusion_of`, summed over all images.
        names: of the classes.
        categories: category by class name; classes without one are in none.

    Returns:
        `miou`, `category_miou`, `pixel_accuracy`, and IoU `by_class` and `by_category`.
    """
    categories = categories or {}
    by_class = {name: _iou(confusion, [index]) for index, name in enumerate(names)}
    by_category = {
        category: _iou(confusion, [i for i, n in enumerate(names) if categories.get(n) == category])
        for category in dict.fromkeys(categories[n] for n in names if n in categories)
    }
    total = int(confusion.sum())
    right = int(np.trace(confusion[:, : len(names)]))
    return {
        'miou': _mean(by_class),
        'category_miou': _mean(by_category),
        'pixel_accuracy': right / total if total else None,
        'by_class': by_class,
        'by_category': by_category,
    }


def _iou(confusion: NDArray[np.int64], members: Sequence[int]) -> float | None:
    """Of some classes taken as one."""
    right = int(confusion[np.ix_(members, members)].sum())
    union = int(confusion[members].sum()) + int(confusion[:, members].sum()) - right
    return right / union if union else None


def _mean(values: Mapping[str, float | None]) -> float | None:
    told = [value for value in values.values() if value is not None]
    return sum(told) / len(told) if told else None
