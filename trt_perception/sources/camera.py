"""Frames of a V4L2 camera that may come and go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from trt_perception.errors import SourceError
from trt_perception.frames import Frame
from trt_perception.sources.source import Source

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0

log = logging.getLogger(__name__)


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...  # noqa: N802  OpenCV's name

    def read(self) -> tuple[bool, Any]: ...

    def release(self) -> None: ...


Opener = Callable[[], Capture]


class CameraSource(Source):
    """A camera. When it stops delivering it is opened again, for as long as it takes.

    Waits between attempts double from `FIRST_WAIT_S` to `LONGEST_WAIT_S`. Each loss is logged
    and counted in `skipped` as 'camera_lost'. The iteration ends by `close` only.

    Attributes:
        connected: whether the camera delivered when it was last asked.
    """

    def __init__(
        self,
        device: str,
        *,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        frame_id: str = '',
        opener: Opener | None = None,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        """Open the camera.

        Args:
            device: path such as '/dev/video0', or the number in it.
            size: (width, height) to ask the camera for; it may choose another.
            rate: frames per second to ask the camera for.
            frame_id: of the frames.
            opener: opens the camera; None opens `device` through V4L2.
            first_wait_s: first wait before the camera is opened again.

        Raises:
            SourceError: it cannot be opened now.
        """
        path = f'/dev/video{device}' if device.isdecimal() else device
        super().__init__(path)
        self.rate = rate
        self.continuous = True
        self.live = True
        self.endless = True
        self.connected = False
        self._frame_id = frame_id
        self._first_wait_s = first_wait_s
        self._closing = threading.Event()
        self._iterating = False
        self._opener = opener or (lambda: _open_v4l2(path, size, rate))
        self._capture: Capture | None = self._open()
        if self._capture is None:
            raise SourceError(f'{path}: the camera cannot be opened. {_advice(path)}')

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        self._iterating = True
        try:
            while not self._closing.is_set():
                image = self._read()
                if image is None:
                    self._reconnect()
                    continue
                self.size = image.shape[1], image.shape[0]
                self.label = f'{index:06d}'
                index += 1
                yield Frame.from_bgr(image, frame_id=self._frame_id)
        finally:
            self._iterating = False
            if self._closing.is_set():
                self._release()

    def close(self) -> None:
        """End the iteration, also while it waits for the camera. Safe from any thread.

        The iterating thread frees the device, since OpenCV's captures must not be released while
        another thread reads.
        """
        self._closing.set()
        if not self._iterating:
            self._release()

    def _read(self) -> Any:
        """uint8 [H, W, 3], or None if the camera delivered none."""
        if self._capture is None:
            return None
        try:
            readable, image = self._capture.read()
        except cv2.error as error:
            log.warning('%s: %s', self.name, error)
            return None
        return np.asarray(image, np.uint8) if readable and image is not None else None

    def _reconnect(self) -> None:
        """Open the camera again; returns once it is open or the source closes."""
        self.connected = False
        self.skipped['camera_lost'] += 1
        log.warning('%s: the camera stopped delivering; trying to open it again', self.name)
        self._release()
        wait_s = self._first_wait_s
        while not self._closing.wait(wait_s):
            self._capture = self._open()
            if self._capture is not None:
                log.warning('%s: the camera is back', self.name)
                return
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _open(self) -> Capture | None:
        try:
            capture = self._opener()
        except (cv2.error, OSError) as error:
            log.warning('%s: %s', self.name, error)
            return None
        if not capture.isOpened():
            capture.release()
            return None
        self.connected = True
        return capture

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _open_v4l2(path: str, size: tuple[int, int] | None, rate: float | None) -> cv2.VideoCapture:
    if not Path(path).exists():
        return cv2.VideoCapture()
    capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    # Most cameras reach their full rate at their full size as motion JPEG only.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*'MJPG'))
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if size is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    if rate is not None:
        capture.set(cv2.CAP_PROP_FPS, rate)
    return capture


def _advice(path: str) -> str:
    if Path(path).exists():
        return 'Another program may hold it, or this user may not read it (group video)'
    there = sorted(str(device) for device in Path('/dev').glob('video*'))
    return f'There is no such device; there are: {", ".join(there) or "no cameras"}'
