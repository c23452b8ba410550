"""Frames on their way to the GPU: which bytes, by which copies.

A frame in page-locked memory goes as it is. Any other is copied there first, by all cores: one
moves some 10 GB a second, so that a frame of 1920x1080 would take longer than all kernels
together. Python's threads come too late to help, since each needs the interpreter to begin.
OpenCV's threads do not. What they run here is a threshold that every byte passes, which is a
plain copy whatever the bytes mean.

Rows that nobody reads are left out: they are not copied, and what lies at their place on the GPU
is stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_PIECE = 1 << 21
"""Bytes copied at once: while one piece crosses the bus, the next is copied on the host."""

_BROAD = 1 << 12
"""Bytes of a row that OpenCV's threads are given where the data have no rows of their own."""

_WORTH_THREADS = 1 << 18
"""Bytes from which on waking threads pays."""


class Rows(NamedTuple):
    """Rows that lie apart.

    Attributes:
        height: how many.
        nbytes: of each.
        host_step, device_step: bytes from one to the next, in page-locked memory and on the GPU.
    """

    height: int
    nbytes: int
    host_step: int
    device_step: int


class Part(NamedTuple):
    """Bytes in page-locked memory, and where they go.

    Attributes:
        start: their first place on the GPU, from the frame's first byte.
        data: uint8 [n]; of rows, from the first one on.
        rows: None where all bytes of `data` go.
    """

    start: int
    data: Bytes
    rows: Rows | None


@dataclass(frozen=True)
class RowSet:
    """Some rows of an image, in equal steps.

    Attributes:
        first: the uppermost one.
        period: from one to the next.
        count: how many.
    """

    first: int
    period: int
    count: int


class FrameCopy:
    """How frames of one form are copied. Nothing of a frame is kept.

    Attributes:
        nbytes: of a frame, on the GPU.
        staged: bytes of page-locked memory that a frame passes through; 0 if it is there.
    """

    def __init__(
        self, nbytes: int, step: int, row: int, rows: Sequence[RowSet] = (), *, in_place: bool
    ) -> None:
        """Plan it.

        Args:
            nbytes: of the image.
            step: bytes from one row to the next.
            row: bytes of a row that belong to the image.
            rows: those to copy; none are all of them.
            in_place: whether the frames lie in page-locked memory.
        """
        self.nbytes = nbytes
        self._step, self._row, self._rows = step, row, rows
        self._in_place = in_place
        self.staged = 0 if in_place else sum(r.count for r in rows) * row or nbytes

    def parts(self, data: Bytes, target: Bytes) -> Iterator[Part]:
        """Copy a frame where needed, and give each part as soon as it may go.

        Args:
            data: uint8 [nbytes], contiguous.
            target: uint8 [staged], contiguous, page-locked.
        """
        if self._rows:
            for number, rows in enumerate(self._rows):
                yield from self._rows_of(rows, number, data, target)
        elif self._in_place:
            yield Part(0, data, None)
        else:
            for start in range(0, self.nbytes, _PIECE):
                end = min(start + _PIECE, self.nbytes)
                _copy_flat(data[start:end], target[start:end])
                yield Part(start, target[start:end], None)

    def _rows_of(self, rows: RowSet, number: int, data: Bytes, target: Bytes) -> Iterator[Part]:
        step = rows.period * self._step
        start = rows.first * self._step
        if self._in_place:
            yield Part(start, data[start:], Rows(rows.count, self._row, step, step))
            return
        source: Bytes = np.ndarray((rows.count, self._row), np.uint8, data, start, (step, 1))
        before = number * rows.count * self._row
        packed = target[before : before + source.size].reshape(source.shape)
        some = max(_PIECE // self._row, 1)
        for top in range(0, rows.count, some):
            part = packed[top : top + some]
            _copy(source[top : top + some], part)
            shape = Rows(len(part), self._row, self._row, step)
            yield Part(start + top * step, part.reshape(-1), shape)


def _copy_flat(source: Bytes, target: Bytes) -> None:
    whole = source.size // _BROAD * _BROAD
    _copy(source[:whole].reshape(-1, _BROAD), target[:whole].reshape(-1, _BROAD))
    np.copyto(target[whole:], source[whole:])


def _copy(source: Bytes, target: Bytes) -> None:
    """Copy uint8 [rows, n] of any step into a contiguous array of the same shape."""
    if source.size < _WORTH_THREADS:
        np.copyto(target, source)
    else:
        cv2.threshold(source, 0, 255, cv2.THRESH_TOZERO, dst=target)
