"""Device memory and page-locked host memory: allocated once per size, reused, counted, freed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.gpu.cuda_driver import Driver, no_room

_GRAIN = 1 << 16
"""Bytes to which sizes are rounded up, so that a slightly larger image fits as well."""


@dataclass(frozen=True)
class MemoryUse:
    """What is held now, and how often something was allocated since the start.

    Attributes:
        device_bytes, pinned_bytes: on the GPU, and page-locked on the host.
        allocations: since the start; it stands still once every size has been seen.
    """

    device_bytes: int = 0
    pinned_bytes: int = 0
    allocations: int = 0

    def __add__(self, other: MemoryUse) -> MemoryUse:
        return MemoryUse(
            self.device_bytes + other.device_bytes,
            self.pinned_bytes + other.pinned_bytes,
            self.allocations + other.allocations,
        )


@dataclass
class _Held:
    nbytes: int
    memory: Any
    free: Callable[[], None]


class Buffers:
    """Memory under names. Used in the GPU owner's thread only.

    Memory under a name grows to the largest size that was asked for and stays: cameras keep
    their size, and images of random sizes soon stop to allocate.
    """

    def __init__(self, driver: Driver) -> None:
        """Hold nothing yet."""
        self._driver = driver
        self._device: dict[str, _Held] = {}
        self._pinned: dict[str, _Held] = {}
        self._allocations = 0

    @property
    def use(self) -> MemoryUse:
        """What is held now."""
        return MemoryUse(
            sum(held.nbytes for held in self._device.values()),
            sum(held.nbytes for held in self._pinned.values()),
            self._allocations,
        )

    def device(self, name: str, nbytes: int) -> int:
        """Address of at least `nbytes` on the GPU, aligned to 256 bytes. Contents are not kept.

        Raises:
            GpuMemoryError: the GPU has no room.
        """
        return int(self._get(self._device, name, nbytes, self._allocate_device).memory)

    def pinned(self, name: str, nbytes: int) -> NDArray[np.uint8]:
        """uint8 [nbytes], page-locked. Valid until `close` or a larger one of this name.

        Never hand a view of it out of the owner's thread.

        Raises:
            GpuMemoryError: the host has no room.
        """
        held = self._get(self._pinned, name, nbytes, self._allocate_pinned)
        array: NDArray[np.uint8] = held.memory[:nbytes]
        return array

    def close(self) -> None:
        """Free everything; what a lost context held is gone already."""
        for group in (self._device, self._pinned):
            for name in list(group):
                with contextlib.suppress(self._driver.Error):
                    group.pop(name).free()

    def _get(
        self,
        group: dict[str, _Held],
        name: str,
        nbytes: int,
        allocate: Callable[[int], _Held],
    ) -> _Held:
        held = group.get(name)
        if held is not None and held.nbytes >= nbytes:
            return held
        if held is not None:
            self._driver.Context.synchronize()  # work in flight may still use it
            group.pop(name).free()  # first: both may not fit
        rounded = max(-(-nbytes // _GRAIN), 1) * _GRAIN
        try:
            held = allocate(rounded)
        except self._driver.MemoryError as error:
            raise no_room(self._driver, name, rounded, error) from error
        self._allocations += 1
        group[name] = held
        return held

    def _allocate_device(self, nbytes: int) -> _Held:
        memory = self._driver.mem_alloc(nbytes)
        return _Held(nbytes, memory, memory.free)

    def _allocate_pinned(self, nbytes: int) -> _Held:
        array = self._driver.pagelocked_empty(nbytes, np.uint8)
        return _Held(nbytes, array, array.base.free)
