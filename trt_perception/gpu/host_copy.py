"""Copies frames into page-locked memory, with several threads where a frame is large.

One core moves about 10 GB a second: a frame of 1920x1080 would take longer than all kernels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
from numpy.typing import NDArray

from trt_perception.closing import Closing

_PIECE = 1 << 21
"""Bytes that one thread copies at once: the GPU takes a piece while the next is copied."""

_WORTH = 1 << 20
"""Bytes from which on other threads are woken."""

_PAGE = 4096


def helping_threads() -> int:
    """Threads that help; a machine with few cores has other work for them."""
    return min(3, len(os.sched_getaffinity(0)) // 4)


class HostCopy(Closing):
    """Copies for one thread at a time."""

    def __init__(self, helpers: int | None = None) -> None:
        """Start no thread yet.

        Args:
            helpers: threads besides the caller's; None: `helping_threads`.
        """
        count = helping_threads() if helpers is None else helpers
        self._parts = count + 1
        self._pool = ThreadPoolExecutor(count, 'frame-copy') if count else None

    def pieces(self, target: NDArray[np.uint8], source: NDArray[np.uint8]) -> Iterator[slice]:
        """Copy, and give each part as soon as it is there.

        Args:
            target, source: uint8 [n], contiguous.

        Yields:
            Slices that together are the whole, in order. When the iterator ends or is closed,
            nothing is being copied any more.
        """
        size = len(source)
        if self._pool is None or size < _WORTH:
            for start in range(0, size, _PIECE):
                part = slice(start, min(start + _PIECE, size))
                np.copyto(target[part], source[part])
                yield part
            return
        step = -(-size // self._parts // _PAGE) * _PAGE
        parts = [slice(start, min(start + step, size)) for start in range(0, size, step)]
        copies = [self._pool.submit(np.copyto, target[p], source[p]) for p in parts[1:]]
        try:
            np.copyto(target[parts[0]], source[parts[0]])
            yield parts[0]
            for part, copy in zip(parts[1:], copies, strict=True):
                copy.result()
                yield part
        finally:
            wait(copies)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
