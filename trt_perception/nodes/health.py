"""How a node is doing, in the words of /diagnostics. Needs no ROS to be imported."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

OK, WARN, ERROR, STALE = 0, 1, 2, 3
"""The levels of diagnostic_msgs/DiagnosticStatus."""

IN_WORDS = {OK: 'OK', WARN: 'WARN', ERROR: 'ERROR', STALE: 'STALE'}


@dataclass(frozen=True)
class Condition:
    """One thing that is to be said: a level and a text."""

    level: int
    text: str

    @property
    def rank(self) -> int:
        """How bad it is: the levels' own order, but that an error outdoes silence."""
        return (OK, WARN, STALE, ERROR).index(self.level)


class Beginnings:
    """Logs what holds when it begins to, not each time that it is found again."""

    def __init__(self, log: Callable[[str], None]) -> None:
        """Nothing holds yet; `log` writes a text to the log."""
        self._log = log
        self._said: set[str] = set()

    def note(self, texts: Collection[str]) -> None:
        """All that holds now. What is gone and comes back is logged anew."""
        for text in sorted(set(texts) - self._said):
            self._log(text)
        self._said = set(texts)


class Health:
    """Remembers what went wrong lately. Any thread may call any method."""

    def __init__(
        self,
        log: Callable[[str], None],
        *,
        recent_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start in good health.

        Args:
            log: writes an error to the log; called at most once in `recent_s` for each cause.
            recent_s: for how many seconds a failure shows.
            clock: seconds, never going back.
        """
        self._log = log
        self._recent_s = recent_s
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[str, tuple[float, int]] = {}
        self._failed_at = self._succeeded_at = float('-inf')
        self._fault = ''
        self._latest = ''

    @property
    def latest(self) -> str:
        """The text of the latest error; '' when there was none."""
        return self._latest

    def fault(self, text: str) -> None:
        """The node as a whole cannot do its work, until `mended`."""
        with self._lock:
            self._fault = self._latest = text

    def mended(self) -> None:
        """What was told to `fault` is over."""
        with self._lock:
            self._fault = ''

    def succeeded(self) -> None:
        """A frame was served."""
        self._succeeded_at = self._clock()

    def failed(self, cause: str, text: str) -> None:
        """A frame could not be served."""
        now = self._clock()
        with self._lock:
            self._failed_at = now
            self._latest = text
        self.warn(cause, text)

    def warn(self, cause: str, text: str) -> None:
        """Log a text, unless one of this cause was logged lately; says how many were left out."""
        now = self._clock()
        with self._lock:
            logged_at, left_out = self._logged.get(cause, (float('-inf'), 0))
            if now - logged_at < self._recent_s:
                self._logged[cause] = (logged_at, left_out + 1)
                return
            self._logged[cause] = (now, 0)
        self._log(f'{text} (and {left_out} more of this kind before)' if left_out else text)

    def condition(self) -> Condition | None:
        """What is wrong now; None when nothing is."""
        with self._lock:
            if self._fault:
                return Condition(ERROR, self._fault)
            now = self._clock()
            if now - self._failed_at > self._recent_s:
                return None
            if now - self._succeeded_at > self._recent_s:
                return Condition(ERROR, f'no frame can be used: {self._latest}')
            return Condition(WARN, f'some frames cannot be used: {self._latest}')
