"""Reads the state of GPU and process in a thread of its own, so that nobody waits for a driver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from trt_perception.monitoring.gpu_state import GpuSource, GpuState, find_gpu_source
from trt_perception.monitoring.process_state import ProcessSource, ProcessState


@dataclass(frozen=True)
class Machine:
    """The newest readings; None before the first, and where there is no source."""

    gpu: GpuState | None = None
    process: ProcessState | None = None


class MachineWatch:
    """Reads once a period until it is closed. `newest` may be read by any thread, at any time."""

    def __init__(
        self,
        period_s: float = 1.0,
        *,
        find_gpu: Callable[[], GpuSource | None] = find_gpu_source,
    ) -> None:
        """Start to read, for the first time after a period: a node that starts has better to do.

        Args:
            period_s: seconds between two readings.
            find_gpu: finds what to ask about the GPU; called once, in the watch's own thread.
        """
        self._newest = Machine()
        self._period_s = period_s
        self._find_gpu = find_gpu
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name='machine watch', daemon=True)
        self._thread.start()

    @property
    def newest(self) -> Machine:
        """The last readings."""
        return self._newest

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread; a driver that hangs is left to itself."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        if self._ended.wait(self._period_s):
            return
        process = ProcessSource()
        gpu = self._find_gpu()
        try:
            while True:
                self._newest = Machine(gpu.read() if gpu else None, process.read())
                if self._ended.wait(self._period_s):
                    return
        finally:
            if gpu is not None:
                gpu.close()
