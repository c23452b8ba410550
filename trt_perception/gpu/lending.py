"""Page-locked memory that leaves the GPU's thread, and comes back when nobody looks at it.

A class map or the masks of a frame are megabytes; copying them costs more than computing them. So
results show the memory that the GPU wrote to. It is ordinary memory that CUDA was asked to lock:
who still looks at it when the GPU is closed keeps it.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.gpu.cuda_driver import HostLock
from trt_perception.gpu.memory import MemoryUse

_PAGE = 4096
_GRAIN = 1 << 20


@dataclass(frozen=True, eq=False)
class _Block:
    memory: NDArray[np.uint8]
    start: int
    end: int

    @classmethod
    def of(cls, memory: NDArray[np.uint8]) -> _Block:
        start = int(memory.__array_interface__['data'][0])
        return cls(memory, start, start + len(memory))


class _Lease:
    """Shows a block as an array whose views do not lead to the block itself."""

    def __init__(self, block: _Block, nbytes: int) -> None:
        self.block = block
        self.__array_interface__ = block.memory[:nbytes].__array_interface__


class Lender:
    """Blocks of page-locked memory. Used in the owner's thread, but `lend_free`.

    Views may go anywhere.

    Attributes:
        most: blocks at most.
    """

    def __init__(self, host_lock: HostLock, most: int) -> None:
        """Hold nothing yet."""
        self.most = most
        self._host_lock = host_lock
        self._blocks: list[_Block] = []
        # Filled by whatever thread lets go of the last view; to be emptied with the lock held.
        self._free: deque[_Block] = deque()
        self._taking = threading.Lock()
        self._allocations = 0
        self._closed = False

    @property
    def use(self) -> MemoryUse:
        """What is held, lent or free."""
        return MemoryUse(0, sum(len(block.memory) for block in self._blocks), self._allocations)

    def lend(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Memory of this size; None if all is lent, the host has no more, or after `close`.

        Returns:
            uint8 [nbytes], contiguous, aligned to a page. It is lent again when no view is left.
        """
        with self._taking:
            if self._closed:
                return None
            fitting = self._fitting(nbytes)
            if fitting is None and self._free:  # else blocks of a size that has gone would pile up
                self._give_up(self._free.pop())
        if fitting is None and len(self._blocks) < self.most:
            fitting = self._made(nbytes)
        return None if fitting is None else self._lent(fitting, nbytes)

    def lend_free(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Like `lend` from any thread, where a block is free; None: the owner must `lend`."""
        with self._taking:
            # What comes back after the end is not locked any more.
            fitting = None if self._closed else self._fitting(nbytes)
        return None if fitting is None else self._lent(fitting, nbytes)

    def _fitting(self, nbytes: int) -> _Block | None:
        """A free block that is large enough; with the lock held."""
        for _ in range(len(self._free)):
            block = self._free.popleft()
            if len(block.memory) >= nbytes:
                return block
            self._free.append(block)
        return None

    def _lent(self, block: _Block, nbytes: int) -> NDArray[np.uint8]:
        lent: NDArray[np.uint8] = np.asarray(_Lease(block, nbytes))
        weakref.finalize(lent, self._free.append, block).atexit = False
        return lent

    def holds(self, array: NDArray[np.uint8]) -> bool:
        """Whether an array lies in one of the blocks."""
        base = array.base
        while isinstance(base, np.ndarray):
            base = base.base
        if base is None:
            return False
        if isinstance(base, _Lease):
            return base.block in self._blocks
        start = array.__array_interface__['data'][0]  # a view by other means than NumPy's
        end = start + array.nbytes
        return any(block.start <= start and end <= block.end for block in self._blocks)

    def close(self) -> None:
        """Unlock everything, for good; what is lent stays readable."""
        with self._taking:
            self._closed = True
            self._free.clear()
        while self._blocks:
            self._give_up(self._blocks[-1])

    def _made(self, nbytes: int) -> _Block | None:
        size = max(-(-nbytes // _GRAIN), 1) * _GRAIN
        whole = np.empty(size + _PAGE, np.uint8)
        offset = -whole.__array_interface__['data'][0] % _PAGE
        block = _Block.of(whole[offset : offset + size])
        if not self._host_lock.lock(block.start, size):
            return None
        self._allocations += 1
        self._blocks.append(block)
        return block

    def _give_up(self, block: _Block) -> None:
        self._blocks.remove(block)
        self._host_lock.unlock(block.start)
