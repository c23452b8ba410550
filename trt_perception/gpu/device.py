"""The GPU as work in the owner's thread sees it."""

from __future__ import annotations

from typing import Any

from trt_perception.gpu.cuda_driver import Driver, Event, HostLock, Room, Stream, room_of
from trt_perception.gpu.memory import Buffers, MemoryUse

_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING."""


class Gpu:
    """One GPU with its context current. Nothing of it may leave the owner's thread.

    Attributes:
        driver: pycuda.driver.
        host_lock: page-locks memory.
        name: of the GPU.
        capability: its compute capability, such as (8, 7).
    """

    def __init__(self, driver: Driver, device: Any, host_lock: HostLock) -> None:
        """Within the owner's thread and context."""
        self.driver = driver
        self.host_lock = host_lock
        self.name: str = device.name()
        major, minor = device.compute_capability()
        self.capability: tuple[int, int] = major, minor
        self._buffers: list[Buffers] = []

    def buffers(self) -> Buffers:
        """A new, empty set of buffers. What its user leaves is freed at the owner's end."""
        buffers = Buffers(self.driver)
        self._buffers.append(buffers)
        return buffers

    def release(self, buffers: Buffers) -> None:
        """Free a set of buffers."""
        buffers.close()
        if buffers in self._buffers:
            self._buffers.remove(buffers)

    def stream(self) -> Stream:
        """A new stream, which does not wait for the default stream. Freed with its last user."""
        return self.driver.Stream(_NON_BLOCKING)

    def event(self) -> Event:
        """A new event, which keeps its time. Freed with its last user."""
        return self.driver.Event()

    @property
    def room(self) -> Room:
        """Memory of the GPU, of all processes."""
        return room_of(self.driver)

    @property
    def use(self) -> MemoryUse:
        """What the buffers of this process hold."""
        return sum((buffers.use for buffers in self._buffers), MemoryUse())

    def close(self) -> None:
        """Free all buffers that are left."""
        for buffers in list(self._buffers):
            self.release(buffers)
