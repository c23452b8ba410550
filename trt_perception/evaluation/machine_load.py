"""Whether a machine did other work while something was measured on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

BUSY_CPUS = 0.25
"""Processors that others used on average, from which on latencies tell little."""


@dataclass(frozen=True)
class MachineLoad:
    """What else went on.

    Attributes:
        begin, end: load average of the last minute, with this process itself.
        others_cpus: processors that other processes used, on average over the time; what a
            hypervisor took away counts too.
    """

    begin: float
    end: float
    others_cpus: float

    @property
    def busy(self) -> bool:
        """Whether latencies are to be doubted."""
        return self.others_cpus > BUSY_CPUS


@dataclass(frozen=True)
class Spent:
    """Seconds since some beginning.

    Attributes:
        clock: that passed.
        used: that all processors together did not idle.
        own: that this process, with its children that have ended, used of them.
        load: load average of the last minute.
    """

    clock: float
    used: float
    own: float
    load: float


def spent() -> Spent:
    """Ask the system."""
    every = psutil.cpu_times()
    # Guests are counted within user and nice.
    used = every.user + every.nice + every.system + every.irq + every.softirq + every.steal
    return Spent(time.monotonic(), used, sum(psutil.Process().cpu_times()[:4]), os.getloadavg()[0])


class LoadWatch:
    """Looks at the machine from now on."""

    def __init__(self, ask: Callable[[], Spent] = spent) -> None:
        """Begin."""
        self._ask = ask
        self._begin = ask()

    def so_far(self) -> MachineLoad:
        """What went on until now."""
        begin, end = self._begin, self._ask()
        others = (end.used - begin.used) - (end.own - begin.own)
        passed = max(end.clock - begin.clock, 1e-9)
        return MachineLoad(begin.load, end.load, max(others, 0.0) / passed)
