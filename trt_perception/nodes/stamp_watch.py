"""What is odd about the stamps of a camera's images. Needs no ROS to be imported."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from trt_perception.nodes.health import WARN, Condition

RECENT_S = 5.0
"""Seconds for which an odd stamp is spoken of."""

FUTURE_S = 0.05
"""Seconds that a stamp may lie ahead: clocks that are synchronised differ by less."""

SIMULATED_FUTURE_S = 0.5
"""The same in simulated time, which comes some ten times a second, to a node that may be busy."""

OTHER_CLOCK_S = 3600.0
"""Age in seconds of which no delivery is capable: such a stamp comes from another clock."""


class _Oddity:
    """One kind of odd stamp: how often it came, and when last."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.count = 0
        self.at_s = -math.inf
        self.worst_s = 0.0
        self.said = False

    def seen(self, now_s: float, by_s: float = 0.0) -> None:
        self.count += 1
        self.at_s = now_s
        self.worst_s = by_s

    def in_words(self) -> str:
        times = 'once' if self.count == 1 else f'{self.count} times'
        return self.text.format(times=times, by=duration(self.worst_s))


class StampWatch:
    """Counts stamps that are zero, older than the one before, repeated or of another clock.

    Their frames are served all the same, unless they are too old for `max_age`. Any thread may
    ask; one thread notes.

    Attributes:
        age_s: of the newest image, when it was taken; NaN where that cannot be known.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start from zero; `clock` gives seconds and never goes back."""
        self._clock = clock
        self._before_ns = 0
        self.age_s = math.nan
        self._oddities = {
            'zero': _Oddity(
                'images had stamp zero, {times}: nothing can be paired with their results, and '
                'max_age does not see how old they are'
            ),
            'backward': _Oddity(
                'the stamps of the images went backwards, {times}, by {by}: a bag that begins '
                'again, a clock that was set, or two cameras on one topic'
            ),
            'repeated': _Oddity(
                'the stamp of an image was that of the one before, {times}: results cannot be '
                'told apart by it'
            ),
            'future': _Oddity(
                'the stamps of the images lie {by} ahead of the clock of this node, {times}: '
                'their age is not known, and max_age lets them pass. Synchronise the '
                "machines' clocks, or set use_sim_time as the camera has it"
            ),
            'other_clock': _Oddity(
                'the stamps of the images are {by} old, {times}: they come from another clock. '
                'For a bag or a simulator set use_sim_time and publish /clock; else let the '
                "camera's driver stamp with the clock of the system"
            ),
        }

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of oddity came: zero, backward, repeated, future, ..."""
        return {kind: oddity.count for kind, oddity in self._oddities.items()}

    def note(self, stamp_ns: int, now_ns: int | None = None, *, simulated: bool = False) -> float:
        """Look at the stamp of the next frame.

        Args:
            stamp_ns: of the image, nanoseconds.
            now_ns: the time of the node's clock, 0 where it has none yet; None: not looked at.
            simulated: whether that clock is /clock.

        Returns:
            The image's age in seconds; NaN where that cannot be known.
        """
        now_s = self._clock()
        self.age_s = math.nan
        if stamp_ns == 0:
            self._oddities['zero'].seen(now_s)
            return math.nan
        if stamp_ns < self._before_ns:
            self._oddities['backward'].seen(now_s, (self._before_ns - stamp_ns) * 1e-9)
        elif stamp_ns == self._before_ns:
            self._oddities['repeated'].seen(now_s)
        self._before_ns = stamp_ns
        self.age_s = age_s(stamp_ns, now_ns or 0)
        # Neither holds for an age that is not known.
        if self.age_s < -(SIMULATED_FUTURE_S if simulated else FUTURE_S):
            self._oddities['future'].seen(now_s, -self.age_s)
        elif self.age_s > OTHER_CLOCK_S:
            self._oddities['other_clock'].seen(now_s, self.age_s)
        return self.age_s

    def conditions(self) -> list[Condition]:
        """What was odd lately."""
        since = self._clock() - RECENT_S
        odd = [oddity for oddity in self._oddities.values() if oddity.at_s >= since]
        return [Condition(WARN, oddity.in_words()) for oddity in odd]

    def unsaid(self) -> list[str]:
        """What is to be logged: each kind of oddity once."""
        new = [oddity for oddity in self._oddities.values() if oddity.count and not oddity.said]
        for oddity in new:
            oddity.said = True
        return [oddity.in_words() for oddity in new]


def age_s(stamp_ns: int, now_ns: int) -> float:
    """Seconds since a stamp; NaN where there is none, or no time yet: both are 0 then."""
    return (now_ns - stamp_ns) * 1e-9 if stamp_ns and now_ns else math.nan


def is_latency(age_s: float) -> bool:
    """Whether a result's age can be the time it took; else its stamp is of another clock.

    Args:
        age_s: seconds from the stamp to the result; NaN where not known.
    """
    return -FUTURE_S <= age_s <= OTHER_CLOCK_S


def duration(seconds: float) -> str:
    """In words, in the unit that fits."""
    for unit, length in (('years', 31_557_600.0), ('days', 86400.0), ('h', 3600.0), ('s', 1.0)):
        if seconds >= 2 * length:
            return f'{seconds / length:.1f} {unit}'
    return f'{seconds * 1e3:.0f} ms'
