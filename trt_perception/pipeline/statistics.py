"""What a pipeline counts and times while it runs."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

REPLACED = 'replaced'
"""Cause of a drop: a newer frame came while this one waited."""

LOST = 'lost'
"""Cause of a drop: it was published, and got lost on its way to this process."""

PAUSED = 'paused'
"""Cause of a drop: the node was paused by ~/enable."""

STALE = 'stale'
"""Cause of a drop: it was older than `max_age` before any work was spent on it."""

SINCE_STAMP = 'since_stamp'
"""What is timed as the last stage: from the camera's stamp to the publication of the result."""


@dataclass(frozen=True)
class StageLatency:
    """Milliseconds that one stage took over the newest frames; `count` goes over all of them."""

    stage: str
    count: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Snapshot:
    """A pipeline's figures at one moment.

    Attributes:
        frames_in: frames that arrived, since the start.
        frames_out: frames whose result was handed on.
        drops: how many frames were not worked on, by cause.
        stages: in the order in which the frame passes them.
        rate_hz: results a second, over the newest frames; 0 when none came lately.
        newest_stamp_ns: stamp of the newest frame that was worked on; None before the first.
        since_newest_s: seconds since its result was handed on; NaN before the first.
    """

    frames_in: int
    frames_out: int
    drops: Mapping[str, int]
    stages: tuple[StageLatency, ...]
    rate_hz: float
    newest_stamp_ns: int | None
    since_newest_s: float = math.nan


@dataclass
class _Window:
    """The newest durations of one stage, and how many there ever were."""

    newest: deque[float]
    count: int = field(default=0)


class PipelineStatistics:
    """Counts frames and times stages. Any thread may call any method."""

    def __init__(self, window: int = 256, clock: Callable[[], float] = time.monotonic) -> None:
        """Start from zero.

        Args:
            window: over how many of the newest frames the percentiles go.
            clock: seconds, never going back.
        """
        self._lock = threading.Lock()
        self._window = window
        self._clock = clock
        self._frames_in = 0
        self._frames_out = 0
        self._drops: Counter[str] = Counter()
        self._stages: dict[str, _Window] = {}
        self._finished: deque[float] = deque(maxlen=window)
        self._newest_stamp_ns: int | None = None

    def frame_in(self, count: int = 1) -> None:
        """So many frames arrived."""
        with self._lock:
            self._frames_in += count

    def frame_dropped(self, cause: str, count: int = 1) -> int:
        """So many frames were not worked on, for `cause`; returns how many were so far."""
        with self._lock:
            self._drops[cause] += count
            return self._drops[cause]

    def frame_out(self, stages_ms: Mapping[str, float], stamp_ns: int) -> None:
        """A frame's result was handed on; `stages_ms` in the order of the stages."""
        with self._lock:
            self._frames_out += 1
            self._newest_stamp_ns = stamp_ns
            self._finished.append(self._clock())
            for stage, duration in stages_ms.items():
                if stage not in self._stages:
                    self._stages[stage] = _Window(deque(maxlen=self._window))
                self._stages[stage].newest.append(duration)
                self._stages[stage].count += 1

    def snapshot(self) -> Snapshot:
        """The figures now."""
        with self._lock:
            stages = {name: (list(w.newest), w.count) for name, w in self._stages.items()}
            finished = list(self._finished)
            now = self._clock()
            counts = (self._frames_in, self._frames_out, dict(self._drops))
            newest_stamp_ns = self._newest_stamp_ns
        return Snapshot(
            *counts,
            tuple(_latency(name, values, count) for name, (values, count) in stages.items()),
            _rate(finished, now),
            newest_stamp_ns,
            now - finished[-1] if finished else math.nan,
        )


def _latency(stage: str, values: list[float], count: int) -> StageLatency:
    ordered = sorted(values)
    return StageLatency(stage, count, percentile(ordered, 0.5), percentile(ordered, 0.99))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of them lies, interpolated as numpy.percentile does.

    For some hundred values it takes a tenth of numpy's time, which a report of many stages takes
    from the frames.

    Args:
        ordered: at least one, the smallest first.
        share: 0 to 1.
    """
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _rate(finished: list[float], now: float, recent_s: float = 5.0) -> float:
    recent = [moment for moment in finished if now - moment <= recent_s]
    if len(recent) < 2 or recent[-1] <= recent[0]:
        return 0.0
    return (len(recent) - 1) / (recent[-1] - recent[0])
