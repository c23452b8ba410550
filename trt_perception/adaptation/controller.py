"""Chooses between the variants of a model by what a frame takes and how the machine is doing.

Plain hysteresis. A faster variant is taken soon after frames become too slow or the GPU too hot.
A more accurate one is tried only after a long calm, when it is expected to fit. If that try has
to be taken back, the next one waits twice as long, so that a load at the border does not make it
swing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import median

from trt_perception.adaptation.settings import AdaptationSettings, MachineState, Move
from trt_perception.errors import ParameterError


class Controller:
    """Decides which variant the next frame takes. Used by one thread.

    Attributes:
        current: index of the variant in use; 0 is the most accurate, the last the fastest.
    """

    def __init__(
        self,
        costs_ms: Sequence[float],
        settings: AdaptationSettings,
        *,
        start: int = 0,
    ) -> None:
        """Begin with one variant.

        Args:
            costs_ms: what one frame takes in each variant on an idle machine, most accurate
                first, as `warm_up` measured it. Only their ratios count.
            settings: aim and patience.
            start: the variant to begin with.

        Raises:
            ParameterError: there is no variant, or a cost is not a positive number.
        """
        if not costs_ms or not all(0 < cost < math.inf for cost in costs_ms):
            raise ParameterError(
                f'adaptation: each variant needs a measured time above 0; given: {list(costs_ms)}'
            )
        self.current = start
        self._costs = tuple(costs_ms)
        self._settings = settings
        self._latencies: deque[float] = deque(maxlen=settings.window)
        self._calm_s = settings.calm_s
        self._slow_since: float | None = None
        self._calm_since: float | None = None
        self._raised_at = -math.inf
        self._moved_at = -math.inf

    def frame(self, latency_ms: float, now_s: float, machine: MachineState) -> Move | None:
        """Take note of one frame, and move if it is time to.

        Args:
            latency_ms: of the frame that was just done.
            now_s: a steady clock.
            machine: its newest state; an old one does no harm.

        Returns:
            The move that was made: `current` has its target already. None for none.
        """
        if not math.isfinite(latency_ms):
            return None
        self._latencies.append(latency_ms)
        settled = len(self._latencies) == self._settings.window
        # A GPU takes its time to cool down: one step, then wait and see.
        may_be_hot = now_s - self._moved_at >= self._settings.calm_s
        reason = (self._hot(machine) if may_be_hot else '') or (
            self._slow(now_s) if settled else ''
        )
        if reason:
            self._calm_since = None
            faster = self._faster()
            return None if faster is None else self._move(faster, reason, now_s)
        if settled and self._slow_since is None:
            return self._rise(now_s, machine)
        return None

    @property
    def latency_ms(self) -> float:
        """Median over the newest frames; NaN before the first."""
        return median(self._latencies) if self._latencies else math.nan

    def _hot(self, machine: MachineState) -> str:
        wanted = self._settings
        if (machine.temperature_c or 0) >= wanted.temperature_limit_c:
            return (
                f'the GPU has {machine.temperature_c:.0f} °C, '
                f'the limit is {wanted.temperature_limit_c:.0f} °C'
            )
        if (machine.power or 0) >= wanted.power_limit:
            return (
                f'the GPU draws {machine.power:.0%} of its power limit, '
                f'allowed are {wanted.power_limit:.0%}'
            )
        return ''

    def _slow(self, now_s: float) -> str:
        target = self._settings.target_latency_ms
        if self.latency_ms <= target:
            self._slow_since = None
            return ''
        if self._slow_since is None:
            self._slow_since = now_s
        if now_s - self._slow_since < self._settings.slow_s:
            return ''
        return f'a frame takes {self.latency_ms:.1f} ms, the target is {target:.1f} ms'

    def _faster(self) -> int | None:
        """The next variant that is faster; an accurate one may be fast by chance, or equal."""
        return next(
            (
                index
                for index in range(self.current + 1, len(self._costs))
                if self._costs[index] < self._costs[self.current]
            ),
            None,
        )

    def _rise(self, now_s: float, machine: MachineState) -> Move | None:
        """Try the next more accurate variant, after a calm long enough."""
        if self.current == 0:
            return None
        wanted = self._settings
        better = self.current - 1
        expected = self.latency_ms * max(1.0, self._costs[better] / self._costs[self.current])
        cool = (machine.temperature_c or 0) < (
            wanted.temperature_limit_c - wanted.temperature_margin_c
        )
        idle = (machine.load or 0) <= wanted.load_limit
        if not (cool and idle and expected <= wanted.headroom * wanted.target_latency_ms):
            self._calm_since = None
            return None
        if self._calm_since is None:
            self._calm_since = now_s
        if now_s - self._calm_since < self._calm_s:
            return None
        return self._move(
            better,
            f'about {expected:.1f} ms are expected, the target is '
            f'{wanted.target_latency_ms:.1f} ms',
            now_s,
        )

    def _move(self, target: int, reason: str, now_s: float) -> Move:
        move = Move(origin=self.current, target=target, reason=reason)
        if target < self.current:
            self._raised_at = now_s
        elif now_s - self._raised_at <= self._calm_s:
            self._calm_s = min(2 * self._calm_s, self._settings.longest_calm_s)
            self._raised_at = -math.inf
        else:
            self._calm_s = self._settings.calm_s
        self.current = target
        self._moved_at = now_s
        self._latencies.clear()
        self._slow_since = self._calm_since = None
        return move
