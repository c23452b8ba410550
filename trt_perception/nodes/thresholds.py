"""From which figures on a node is not well. Needs no ROS to be imported."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trt_perception.monitoring.gpu_state import GpuState
from trt_perception.nodes.health import WARN, Condition
from trt_perception.nodes.stamp_watch import OTHER_CLOCK_S
from trt_perception.pipeline.statistics import (
    LOST,
    PAUSED,
    REPLACED,
    SINCE_STAMP,
    STALE,
    Snapshot,
)

RECENT_S = 10.0
"""Seconds over which drops are looked at."""

_FEWEST = 5
"""Images within these seconds of which a share means something."""

_REMEDIES = {
    REPLACED: 'a faster precision or a smaller model keeps up, or let the camera send fewer images',
    LOST: '`trt_perception doctor --transport` says what to change; where it finds nothing, the '
    'processor is too busy to wake the node between two images',
    STALE: 'the camera sends them late, its clock differs, or they wait while the network is busy',
}

_MUCH = 0.1
"""Share of the images that the first cause left from which on the second one is told, too."""

_BUSY = 0.7
"""Share of the time that the network works for a camera, from which on numbers that are missing
are those of images that nobody had time for. Those of one that mostly waits were lost on the way.
"""


@dataclass(frozen=True)
class Thresholds:
    """What is still well; 0 turns a threshold off.

    Attributes:
        latency_s: median seconds from the stamp of an image to its result.
        drop_share: share of the images of the last `RECENT_S` that gave no result, 0..1.
        stale_after_s: seconds without an image.
        temperature_c: of the GPU, degrees Celsius.
        max_age_s: seconds after its stamp from which on an image is dropped.
    """

    latency_s: float = 0.0
    drop_share: float = 0.0
    stale_after_s: float = 0.0
    temperature_c: float = 0.0
    max_age_s: float = 0.0

    def of_figures(
        self, snapshot: Snapshot, drops: Drops, age_s: float = math.nan
    ) -> list[Condition]:
        """What is to be said of a camera's figures.

        Args:
            snapshot: counters since the activation, and the latencies of the newest results.
            drops: what gave no result lately.
            age_s: of the newest image when it was taken, by its stamp; NaN where not known.
        """
        late = self._late(snapshot) if drops.results != 0 else ''  # else of long ago
        texts = (late, self._dropped(drops, snapshot, age_s))
        return [Condition(WARN, text) for text in texts if text]

    def of_gpu(self, gpu: GpuState | None) -> list[Condition]:
        """What is to be said of the GPU; nothing where it does not tell its temperature."""
        degrees = None if gpu is None else gpu.temperature_c
        if not self.temperature_c or degrees is None or degrees < self.temperature_c:
            return []
        return [
            Condition(
                WARN,
                f'the GPU has {degrees:.0f} °C, warn_temperature is {self.temperature_c:.0f} °C: '
                'it will soon slow itself down',
            )
        ]

    def _late(self, snapshot: Snapshot) -> str:
        medians = {stage.stage: stage.p50_ms for stage in snapshot.stages}
        latency_ms = medians.get(SINCE_STAMP, medians.get('total', math.nan))
        # Hours are no latency but another clock, which is said elsewhere.
        if not self.latency_s * 1e3 < latency_ms < OTHER_CLOCK_S * 1e3 or not self.latency_s:
            return ''
        return (
            f'results come {latency_ms:.0f} ms after the stamp of their image (median), '
            f'warn_latency is {self.latency_s * 1e3:.0f} ms'
        )

    def _dropped(self, drops: Drops, snapshot: Snapshot, age_s: float) -> str:
        if not self.drop_share or not drops.share > self.drop_share:  # NaN is too few to say
            return ''
        causes: dict[str, list[str]] = {}  # by what is to be said of them
        for cause in drops.worth_telling():
            remedy = self._remedy(cause, drops, snapshot, age_s)
            causes.setdefault(remedy, []).append(f'{drops.causes[cause]:.0%} {cause}')
        parts = [f'{" and ".join(shares)}: {remedy}' for remedy, shares in causes.items()]
        return (
            f'{drops.share:.0%} of the images of the last {RECENT_S:.0f} s gave no result '
            f'(warn_drop_share is {self.drop_share:.0%}), {"; ".join(parts)}'
        )

    def _remedy(self, cause: str, drops: Drops, snapshot: Snapshot, age_s: float) -> str:
        why = ''
        medians = {stage.stage: stage.p50_ms for stage in snapshot.stages}
        busy_ms = medians.get('total', math.nan) - medians.get('wait', 0.0)
        if cause == LOST and drops.rate_hz * (1.0 - drops.share) * busy_ms > _BUSY * 1e3:
            cause = REPLACED  # they came faster than the thread that waits for them is woken
        if cause == REPLACED:
            why = 'the network is slower than the camera, or than all that share it; '
            if drops.rate_hz * busy_ms > 1e3:
                why = (
                    f'the camera sends {drops.rate_hz:.0f} images a second, and one takes '
                    f'{busy_ms:.0f} ms; '
                )
        elif cause == STALE and math.isfinite(age_s):
            why = (
                f'the newest one was {age_s:.3g} s old when it was taken, max_age is '
                f'{self.max_age_s:g} s; '
            )
        return why + _REMEDIES.get(cause, 'the latest error says why')


@dataclass(frozen=True)
class Drops:
    """Images that gave no result lately.

    Attributes:
        share: of all that came, 0..1; NaN where too few came.
        causes: the share of each cause, of all that came; the most frequent first.
        rate_hz: images a second that came; NaN before the second look.
        results: how many gave one; None before the second look.
    """

    share: float = math.nan
    causes: Mapping[str, float] = field(default_factory=dict)
    rate_hz: float = field(default=math.nan, compare=False)
    results: int | None = field(default=None, compare=False)

    def worth_telling(self) -> list[str]:
        """The most frequent cause, and the next one where it takes much of what that one left.

        Where most images get lost and all the others are too old, the share of the latter is
        small, and still nothing is served before they are mended, too.
        """
        first, *others = self.causes
        left = 1.0 - self.causes[first]
        return [first, *(one for one in others[:1] if self.causes[one] > _MUCH * left)]


class RecentDrops:
    """Tells from counters that only grow what was dropped in the last seconds. For one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start from zero; `clock` gives seconds and never goes back."""
        self._clock = clock
        self._seen: deque[tuple[float, Snapshot]] = deque()

    def note(self, snapshot: Snapshot) -> Drops:
        """Look at the counters, about once a second. What was paused counts as no drop."""
        now = self._clock()
        self._seen.append((now, snapshot))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RECENT_S:
            self._seen.popleft()
        since, before = self._seen[0]
        lately = {
            cause: count - before.drops.get(cause, 0)
            for cause, count in snapshot.drops.items()
            if cause != PAUSED
        }
        dropped = sum(lately.values())
        results = snapshot.frames_out - before.frames_out
        came = dropped + results
        if now == since:
            return Drops()
        if came < _FEWEST:
            return Drops(results=results)
        ordered = sorted(filter(lately.get, lately), key=lately.__getitem__, reverse=True)
        causes = {cause: lately[cause] / came for cause in ordered}
        return Drops(dropped / came, causes, came / (now - since), results)


def worst(conditions: Sequence[Condition]) -> Condition | None:
    """The one that counts; None of none. What is broken outdoes what is silent."""
    return max(conditions, key=lambda condition: condition.rank, default=None)
