"""How a camera's frames come, and when the next is expected."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

_REMEMBERED = 8
"""Latest intervals, which tell the period; some may be odd without being believed."""

_FEWEST = 3
"""Intervals before anything is told from them."""

_FASTER = 0.8
"""A camera counts as faster than another if its period is below this part of the other's."""

_LEAST_MARGIN_S = 0.3e-3
"""Even a camera that keeps its time is seen with the jitter of a scheduler."""

_UNEVEN = 0.25
"""Nothing is expected of a camera whose margin is more than this part of its period."""


class Arrivals:
    """The arrivals of one camera.

    Attributes:
        newest_s: the latest, seconds of a clock that never goes back.
        period_s: median of the latest intervals; None before there are enough.
    """

    def __init__(self) -> None:
        self.newest_s = -math.inf
        self.period_s: float | None = None
        self._intervals: deque[float] = deque(maxlen=_REMEMBERED)
        self._margin_s = math.inf

    def note(self, now_s: float) -> None:
        """A frame came."""
        if math.isfinite(self.newest_s):
            self._intervals.append(now_s - self.newest_s)
        self.newest_s = now_s
        if len(self._intervals) >= _FEWEST:
            period_s = median(self._intervals)
            deviation_s = median(abs(one - period_s) for one in self._intervals)
            self.period_s = period_s if period_s > 0 else None
            self._margin_s = 3 * deviation_s + _LEAST_MARGIN_S

    def faster_than(self, other: Arrivals) -> bool:
        """Whether this camera brings clearly more frames; not before both periods are known."""
        if self.period_s is None or other.period_s is None:
            return False
        return self.period_s < _FASTER * other.period_s

    def expected_s(self, now_s: float) -> tuple[float, float] | None:
        """The earliest and the latest moment of the next arrival; None where nobody knows.

        A frame that has not come in its time does not come: the one after it is expected.
        """
        if self.period_s is None or self._margin_s > _UNEVEN * self.period_s:
            return None
        late_s = now_s - self._margin_s - self.newest_s
        due_s = self.newest_s + max(1, math.ceil(late_s / self.period_s)) * self.period_s
        return due_s - self._margin_s, due_s + self._margin_s
