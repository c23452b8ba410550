"""How much of the machine this process takes."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class ProcessState:
    """This process at one moment.

    Attributes:
        cpu: processor time since the last reading, in cores: 1.0 is one core all the time.
        rss_bytes: resident memory.
        threads: how many there are.
        handles: open files, sockets and pipes; 0 where the system does not say.
        machine_cpu: share of all cores that was busy since the last reading, 0..1.
    """

    cpu: float
    rss_bytes: int
    threads: int
    handles: int
    machine_cpu: float


class ProcessSource:
    """Reads the state of one process again and again; the first reading says 0 of the processor."""

    def __init__(self, pid: int | None = None) -> None:
        """Begin to count.

        Args:
            pid: of the process; this one unless stated.

        Raises:
            psutil.NoSuchProcess: there is none of this number.
        """
        self._process = psutil.Process(os.getpid() if pid is None else pid)
        self._process.cpu_percent()
        psutil.cpu_percent()

    def read(self) -> ProcessState:
        """The state now. Raises psutil.NoSuchProcess when the process has ended."""
        with self._process.oneshot():
            return ProcessState(
                cpu=self._process.cpu_percent() / 100,
                rss_bytes=int(self._process.memory_info().rss),
                threads=int(self._process.num_threads()),
                handles=int(self._process.num_fds()),
                machine_cpu=psutil.cpu_percent() / 100,
            )
