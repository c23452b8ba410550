"""Whether simulated time goes on. Needs no ROS to be imported."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from trt_perception.nodes.health import WARN, Condition

STILL_S = 3.0
"""Seconds without a new time after which that is said."""


class ClockWatch:
    """Looks at the clock of a node with `use_sim_time` about once a second. For one thread."""

    def __init__(
        self,
        warn: Callable[[str], None],
        inform: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is known yet.

        Args:
            warn: told once that /clock has stopped or does not come.
            inform: told that it goes on after that.
            clock: seconds of the system, never going back.
        """
        self._warn = warn
        self._inform = inform
        self._clock = clock
        self._newest_ns: int | None = None
        self._new_s = -math.inf
        self._said = False
        self._halted_s = -math.inf

    @property
    def halts_images(self) -> bool:
        """Whether a paused simulator, or one that has just gone on, is why no image comes."""
        return self._clock() - self._halted_s <= STILL_S

    def look(self, now_ns: int | None, *, published: Callable[[], bool]) -> list[Condition]:
        """What is to be said of the clock.

        Args:
            now_ns: the time of the node, 0 where it has none yet; None without `use_sim_time`.
            published: whether anybody publishes /clock; asked only where it stands still.
        """
        now_s = self._clock()
        if now_ns is None or now_ns != self._newest_ns:
            if self._said and now_ns is not None:
                self._inform('/clock goes on')
            self._newest_ns, self._new_s, self._said = now_ns, now_s, False
            return []
        still_s = now_s - self._new_s
        if still_s < STILL_S:
            return []
        somebody = published()
        if now_ns and somebody:
            self._halted_s = now_s
        text = _told(now_ns, still_s, somebody)
        if not self._said:
            self._warn(text)
            self._said = True
        return [Condition(WARN, text)]


def _told(now_ns: int, still_s: float, somebody: bool) -> str:
    if not now_ns:
        nobody = '' if somebody else ', and nobody publishes it'
        return (
            f'use_sim_time is set and /clock has not come{nobody}: the age of images is not known'
        )
    why = (
        'a simulator or bag is paused, and no image is expected until it goes on'
        if somebody
        else 'nobody publishes it any more: the simulator or bag has ended'
    )
    return f'/clock stands still at {now_ns * 1e-9:.3f} s for {still_s:.0f} s: {why}'
