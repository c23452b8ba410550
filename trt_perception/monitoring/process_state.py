"""How much of the machine this process takes."""

from __future__ import annotations

import os
from dataclasses import dataclass

from trt_perception.monitoring.heap import heap_in_use_bytes


@dataclass(frozen=True)
class ProcessState:
    """This process at one moment.

    Attributes:
        cpu: processor time since the last reading, in cores: 1.0 is one core all the time.
        rss_bytes: resident memory.
        threads: how many there are.
        handles: open files, sockets and pipes; 0 where the system does not say.
        machine_cpu: share of all cores that was busy since the last reading, 0..1.
        heap_bytes: asked for by its code and not freed; 0 where that cannot be known. It grows
            with a leak only, unlike `rss_bytes`.
    """

    cpu: float
    rss_bytes: int
    threads: int
    handles: int
    machine_cpu: float
    heap_bytes: int = 0


class ProcessSource:
    """Reads the state of one process again and again; the first reading says 0 of the processor."""

    def __init__(self, pid: int | None = None) -> None:
        """Begin to count.

        Args:
            pid: of the process; this one unless stated.

        Raises:
            psutil.NoSuchProcess: there is none of this number.
        """
        # Here, since a node reads its first state after its first images: see `MachineWatch`.
        import psutil

        self._machine_cpu_percent = psutil.cpu_percent
        self._process = psutil.Process(os.getpid() if pid is None else pid)
        self._own = self._process.pid == os.getpid()
        self._process.cpu_percent()
        self._machine_cpu_percent()

    def read(self) -> ProcessState:
        """The state now. Raises psutil.NoSuchProcess when the process has ended."""
        with self._process.oneshot():
            return ProcessState(
                cpu=self._process.cpu_percent() / 100,
                rss_bytes=int(self._process.memory_info().rss),
                threads=int(self._process.num_threads()),
                handles=int(self._process.num_fds()),
                machine_cpu=self._machine_cpu_percent() / 100,
                heap_bytes=heap_in_use_bytes() if self._own else 0,
            )
