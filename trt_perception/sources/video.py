"""Frames of a video file."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from trt_perception.errors import SourceError
from trt_perception.frames import Frame
from trt_perception.sources.source import Source

SUFFIXES = frozenset(
    ['.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.ogv', '.ts', '.webm', '.wmv']
)
"""File name endings that count as videos, in lower case."""

log = logging.getLogger(__name__)


class VideoSource(Source):
    """A video file, read by OpenCV. Stamps are the time in the video.

    A file that ends before the number of frames that it announces is read as far as it goes; the
    difference is logged and counted in `skipped` as 'missing_at_end'.
    """

    def __init__(self, path: Path, frame_id: str = '') -> None:
        """Open the file and read its properties.

        Raises:
            SourceError: it is missing, no video, or in a format that OpenCV cannot decode.
        """
        super().__init__(path.name)
        self._path = path
        self._frame_id = frame_id
        self._closed = False
        capture = self._open()
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        readable, _ = capture.read()
        capture.release()
        if not readable:
            raise SourceError(
                f'{path}: no frame of this video can be decoded. It is damaged, or OpenCV lacks '
                'its codec; convert it with: ffmpeg -i IN -c:v libvpx-vp9 OUT.webm'
            )
        self.size = (width, height) if width > 0 and height > 0 else None
        self.count = count if count > 0 else None
        self.rate = rate if 0 < rate < 1000 and math.isfinite(rate) else None
        self.stamps = 'since_start'
        self.continuous = True

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        index = 0
        last_ns = -1
        try:
            while not self._closed:
                readable, image = capture.read()
                if not readable:
                    break
                last_ns = self._stamp_ns(capture, index, last_ns)
                self.label = f'{index:06d}'
                yield Frame.from_bgr(
                    np.asarray(image, np.uint8), stamp_ns=last_ns, frame_id=self._frame_id
                )
                index += 1
        finally:
            capture.release()
        self._report_early_end(index)

    def close(self) -> None:
        """End a running iteration."""
        self._closed = True

    def _open(self) -> cv2.VideoCapture:
        if not self._path.is_file():
            raise SourceError(f'{self._path}: no such video file')
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise SourceError(
                f'{self._path}: OpenCV cannot open it as a video. It is cut off, damaged or of an '
                'unknown format'
            )
        return capture

    def _stamp_ns(self, capture: cv2.VideoCapture, index: int, last_ns: int) -> int:
        """The frame's time in the video; by the frame rate where the file has none that rises."""
        stamp_ns = round(float(capture.get(cv2.CAP_PROP_POS_MSEC)) * 1e6)
        if index == 0 and stamp_ns >= 0:
            return stamp_ns
        if stamp_ns > last_ns:
            return stamp_ns
        return last_ns + round(1e9 / (self.rate or 30.0))

    def _report_early_end(self, frames: int) -> None:
        # The announced number comes from duration times rate and may be one off.
        if self._closed or self.count is None or frames >= self.count - 1:
            return
        self.skipped['missing_at_end'] += self.count - frames
        log.warning('%s: ended after %d frames, %d were announced', self._path, frames, self.count)
