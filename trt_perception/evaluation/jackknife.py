"""How sure a figure is that was measured on a limited number of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

GROUPS = 20


def group_jackknife(
    figure: Callable[[NDArray[np.int64]], Sequence[float]], images: int, groups: int = GROUPS
) -> NDArray[np.float64]:
    """Standard errors of figures of a set of images, by leaving out one group at a time.

    The square of an error is (g - 1) / g times the sum of squares of the estimates about their
    mean (Quenouille 1956; Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 11).
    Differences of two networks are to be figures of their own: both see the same images, so that
    most of the images' own differences cancel out.

    Args:
        figure: from numbers of images, int64 [n], to one figure or more.
        images: how many there are; image i is in group i modulo `groups`.
        groups: 2 to `images`.

    Returns:
        One standard error per figure.

    Raises:
        ValueError: `groups` is out of range.
    """
    if not 2 <= groups <= images:
        raise ValueError(f'{groups} groups of {images} images: it must be 2 to as many as images')
    numbers = np.arange(images)
    estimates = np.array([figure(numbers[numbers % groups != left]) for left in range(groups)])
    spread = np.square(estimates - estimates.mean(axis=0)).sum(axis=0)
    return np.asarray(np.sqrt(spread * (groups - 1) / groups), np.float64)
