"""Keeps the demonstration's pictures: the first in a video, and the one that shows most."""

from __future__ import annotations

import math
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from trt_perception.cli.pictures import write_picture
from trt_perception.drawing.video import VideoWriter

if TYPE_CHECKING:
    from trt_perception.nodes.demo_graph import Seen

WIDTH = 960
"""Of the video. Encoding a picture costs as much as all nodes together, and grows with its area."""

_NICENESS = 15
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 97]


class Film:
    """Takes pictures in at once and encodes them when nobody else needs the processor.

    They wait as JPEG files in memory, a quarter of a megabyte each.
    """

    def __init__(self, out: Path, rate: float, seconds: int) -> None:
        """Prepare; nothing is written yet.

        Args:
            out: folder for overlay.mp4 and overlay.png.
            rate: pictures per second.
            seconds: length of the video, of which the first pictures are taken.
        """
        self._left = math.ceil(rate * seconds)
        self._out = out
        self._video = VideoWriter(out / 'overlay.mp4', rate, max_width=WIDTH)
        self._waiting: queue.Queue[NDArray[np.uint8] | None] = queue.Queue()
        self._failure: Exception | None = None
        self._best: NDArray[np.uint8] | None = None
        self._most = -1.0
        self._thread = threading.Thread(target=self._encode, name='film', daemon=True)
        self._thread.start()

    def add(self, seen: Seen) -> None:
        """Take a picture in."""
        if self._left:
            self._left -= 1
            _, content = cv2.imencode('.jpg', seen.picture, _QUALITY)
            self._waiting.put(np.asarray(content, np.uint8))
        amount = worth_seeing(seen.found or ())
        if amount > self._most:
            self._most, self._best = amount, seen.picture

    def close(self) -> None:
        """Wait until the video is written; write the best picture.

        Raises:
            OutputError: one of them cannot be written.
        """
        self._waiting.put(None)
        left = self._waiting.qsize()
        if left > 1 and sys.stderr.isatty():
            with tqdm(total=left, unit='frame', desc='encoding the video') as bar:
                while self._thread.is_alive():
                    self._thread.join(0.2)
                    bar.update(left - self._waiting.qsize() - bar.n)
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        self._video.close()
        if self._best is not None:
            write_picture(self._out / 'overlay.png', self._best)

    def _encode(self) -> None:
        """The thread."""
        # Threads that this one starts are as modest.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (content := self._waiting.get()) is not None:
            if self._failure is None:
                try:
                    self._video.write(np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8))
                except Exception as error:
                    self._failure = error


def worth_seeing(found: Any) -> float:
    """How much a picture shows: classes count more than objects, sure ones more than others.

    Args:
        found: (class, score, box) of each object.
    """
    best: dict[str, float] = {}
    for name, score, _ in found:
        best[name] = max(score, best.get(name, 0.0))
    return float(2 * sum(best.values()) + 0.25 * sum(score for _, score, _ in found))
