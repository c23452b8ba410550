"""Times one stage after the other."""

from __future__ import annotations

import time


class Stopwatch:
    """Starts when made.

    Attributes:
        laps_ms: milliseconds of each stage so far, in their order.
    """

    def __init__(self) -> None:
        """Start."""
        self.laps_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """A stage has just ended; the next one begins."""
        now = time.perf_counter()
        self.laps_ms[stage] = (now - self._last) * 1e3
        self._last = now
