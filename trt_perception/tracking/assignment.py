"""Which detection continues which track: likeness, and the best pairs by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import MissingDependencyError

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes x1 y1 x2 y2, float64 in 0..1.

    Boxes without an area overlap nothing.

    Args:
        first, second: float64 [..., 4], of shapes that go together, such as [N, 1, 4] and [M, 4]
            for all pairs, [N, M].
    """
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    sides = np.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    union = _areas(first) + _areas(second) - shared
    ratio: Floats = shared / np.maximum(union, 1e-9)
    return ratio


def assign(likeness: Floats, least: float) -> tuple[Rows, Rows]:
    """The pairs whose likeness above `least` sums up to the most.

    Pairs at or below `least` are left out, and cost nobody a better partner.

    Args:
        likeness: float64 [N, M].
        least: what a pair must exceed.

    Returns:
        Rows and columns of the pairs, int [K] each, in order of the rows.

    Raises:
        MissingDependencyError: SciPy is not installed.
    """
    gain = np.maximum(likeness - least, 0)
    if not gain.any():
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    rows, columns = _linear_sum_assignment()(gain, maximize=True)
    good = gain[rows, columns] > 0
    return rows[good], columns[good]


def require_solver() -> None:
    """Load the solver, which takes a moment.

    Raises:
        MissingDependencyError: SciPy is not installed.
    """
    _linear_sum_assignment()


@cache
def _linear_sum_assignment() -> Callable[..., Any]:
    # Imported late: SciPy takes a third of a second, and most runs track nothing.
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingDependencyError(
            "tracking needs SciPy: pip install 'trt_perception[tracking]', or python3-scipy of "
            'the distribution; or set the tracker to none'
        ) from error
    solve: Callable[..., Any] = linear_sum_assignment
    return solve


def _areas(boxes: Floats) -> Floats:
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    areas: Floats = sides[..., 0] * sides[..., 1]
    return areas
