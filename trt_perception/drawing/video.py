"""Video files of pictures, such that browsers play them."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.closing import Closing
from trt_perception.errors import OutputError

Image = NDArray[np.uint8]

# VP9 plays in every browser of today and OpenCV's wheels can write it; they cannot write H.264,
# which other builds of OpenCV can. Browsers do not play MPEG-4 part 2, the last resort.
_CODECS = ('vp09', 'avc1', 'mp4v')
# Encoders spend time and bits on sensor noise, which nobody looks at. Within this many pixels
# and of 255 levels, differences are smoothed; the edges of lines and letters are far stronger.
_NOISE_PX, _NOISE_LEVELS = 5, 25

log = logging.getLogger(__name__)


class VideoWriter(Closing):
    """Writes an .mp4 file in a thread of its own.

    The first picture decides the size, made even and at most `max_width` wide; others are
    resized to it. Faint noise is smoothed. VP9 as OpenCV sets it up takes about 0.2 s of one
    core for a picture of 640x384 that moves, and the time grows with the area.
    """

    def __init__(self, path: Path, rate: float, *, max_width: int = 1280, waiting: int = 4) -> None:
        """Prepare a file, which is made with the first picture.

        Args:
            path: of the .mp4 file; overwritten if it exists.
            rate: frames per second, above 0.
            max_width: pixels.
            waiting: so many pictures may wait in memory for the encoder, at least 1.

        Raises:
            OutputError: the name does not end in .mp4, or the rate is not positive.
        """
        if path.suffix != '.mp4':
            raise OutputError(f'{path}: a video file must end in .mp4')
        if not 0 < rate < float('inf'):
            raise OutputError(f'{path}: the rate is {rate}; it must be above 0')
        self.path = path
        self.codec = ''
        self.frames = 0
        self._rate = rate
        self._max_width = max_width
        self._size: tuple[int, int] | None = None
        self._writer: cv2.VideoWriter | None = None
        self._queue: queue.Queue[Image | None] = queue.Queue(waiting)
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def write(self, picture: Image) -> None:
        """Append a picture. Waits while `waiting` pictures are not yet encoded.

        Args:
            picture: uint8 [H, W, 3] BGR; must not be changed afterwards.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._size is None:
            self._size = _video_size(picture, self._max_width)
            self._writer, self.codec = _open(self.path, self._rate, self._size)
            self._thread = threading.Thread(target=self._encode, name='video', daemon=True)
            self._thread.start()
        self._raise_failure()
        self._queue.put(picture)
        self.frames += 1

    def close(self) -> None:
        """Finish the file; without a picture there is none. A second call does nothing.

        Raises:
            OutputError: the file could not be written.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._queue.put(None)
        thread.join()
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        self._raise_failure()
        if not self.path.is_file() or self.path.stat().st_size == 0:
            raise OutputError(f'{self.path}: the video was not written; is the disk full?')

    def _encode(self) -> None:
        """The thread. After a failure it goes on emptying the queue, so that nobody waits."""
        while (picture := self._queue.get()) is not None:
            if self._failure is not None or self._writer is None:
                continue
            try:
                self._writer.write(self._prepared(picture))
            except Exception as error:
                self._failure = error

    def _prepared(self, picture: Image) -> Image:
        assert self._size is not None
        if picture.shape[1::-1] != self._size:
            picture = np.asarray(
                cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8
            )
        smooth = cv2.bilateralFilter(picture, _NOISE_PX, _NOISE_LEVELS, _NOISE_PX / 2)
        return np.asarray(smooth, np.uint8)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise OutputError(f'{self.path}: cannot be written: {self._failure}')


def _video_size(picture: Image, max_width: int) -> tuple[int, int]:
    """(width, height), both even and at least 2."""
    height, width = picture.shape[:2]
    scale = min(1.0, max_width / width)
    return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)


def _open(path: Path, rate: float, size: tuple[int, int]) -> tuple[cv2.VideoWriter, str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f'{path}: its folder cannot be made: {error}') from error
    for codec in _CODECS:
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate, size)
        if writer.isOpened():
            if codec == _CODECS[-1]:
                log.warning('%s: OpenCV lacks VP9 and H.264; browsers will not play this', path)
            return writer, codec
        writer.release()
    raise OutputError(
        f'{path}: OpenCV cannot write a video of {size[0]}x{size[1]} pixels there. Check that the '
        'folder can be written, and that OpenCV has FFmpeg: pip install opencv-python-headless'
    )
