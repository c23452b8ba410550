"""Copies a frame into page-locked memory by all cores, where its encoding allows it.

One core moves some 10 GB a second: a frame of 1920x1080 would take longer than all kernels
together. Python's threads come too late to help, since each needs the interpreter to begin.
OpenCV's threads do not. What it does in parallel is no plain copy, but one that swaps red and
blue; that is as good, since the kernels read either order.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.frames import Frame

_SWAPPED = {
    'bgr8': ('rgb8', 3, cv2.COLOR_BGR2RGB),
    '8UC3': ('rgb8', 3, cv2.COLOR_BGR2RGB),
    'rgb8': ('bgr8', 3, cv2.COLOR_RGB2BGR),
    'bgra8': ('rgba8', 4, cv2.COLOR_BGRA2RGBA),
    'rgba8': ('bgra8', 4, cv2.COLOR_RGBA2BGRA),
}
"""Of an encoding: what it becomes, its channels, and OpenCV's name for it."""

Pieces = Iterator[tuple[int, NDArray[np.uint8]]]

_PIECE = 1 << 22
"""Bytes copied at once: while one piece crosses the bus, the next is copied on the host."""


class HostCopy:
    """How one frame is copied.

    Attributes:
        encoding: of the copy.
        step: of the copy, bytes from one row to the next.
        nbytes: of the copy.
    """

    def __init__(self, frame: Frame, data: NDArray[np.uint8]) -> None:
        """Plan it; nothing is copied yet.

        Args:
            frame: checked.
            data: uint8 [n], of its data what belongs to the image.
        """
        self._frame, self._data = frame, data
        self.encoding, self.step, self.nbytes = frame.encoding, frame.step, len(data)
        self._swap = _SWAPPED.get(frame.encoding)
        if self._swap is not None:
            self.encoding, channels, _ = self._swap
            self.step = frame.width * channels
            self.nbytes = self.step * frame.height

    def pieces(self, target: NDArray[np.uint8]) -> Pieces:
        """Copy, and give each part as soon as it is there.

        Args:
            target: uint8 [nbytes], contiguous.

        Yields:
            Where a part begins, and the part of `target`; together the whole, in order.
        """
        if self._swap is None:
            for start in range(0, self.nbytes, _PIECE):
                part = slice(start, min(start + _PIECE, self.nbytes))
                np.copyto(target[part], self._data[part])
                yield start, target[part]
            return
        _, channels, code = self._swap
        height, width = self._frame.height, self._frame.width
        shape, apart = (height, width, channels), (self._frame.step, channels, 1)
        source: NDArray[np.uint8] = np.ndarray(shape, np.uint8, self._data, 0, apart)
        packed = target.reshape(shape)
        rows = max(_PIECE // self.step, 1)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            cv2.cvtColor(source[top:bottom], code, dst=packed[top:bottom])
            yield top * self.step, target[top * self.step : bottom * self.step]


class InPlace:
    """A frame in page-locked memory already: nothing is copied on the host.

    Attributes:
        encoding, step, nbytes: see `HostCopy`.
    """

    def __init__(self, frame: Frame, data: NDArray[np.uint8]) -> None:
        """See `HostCopy`."""
        self._data = data
        self.encoding, self.step, self.nbytes = frame.encoding, frame.step, len(data)

    def pieces(self, target: NDArray[np.uint8]) -> Pieces:
        """See `HostCopy.pieces`; the parts are those of the frame itself."""
        yield 0, self._data
