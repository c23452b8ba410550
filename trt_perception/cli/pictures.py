"""The pictures that a run leaves: annotated images or a video, and semantic masks."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.closing import Closing
from trt_perception.drawing.drawn import DrawnCaption, DrawnClasses, DrawnObjects, Status
from trt_perception.drawing.overlay import draw_overlay
from trt_perception.drawing.style import OverlayStyle
from trt_perception.drawing.video import VideoWriter
from trt_perception.errors import OutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.results import Classification, Detections, Result, SegmentationMap

Image = NDArray[np.uint8]
_JPEG_QUALITY = 93
FALLBACK_RATE = 10.0
"""Frames per second of a video from a source that has no rate."""


class Pictures(Closing):
    """Draws results and writes them into one folder.

    Frames that follow each other in time become `overlay.mp4`, and the first one that shows most
    also `overlay.png`; single images become `pictures/NAME.jpg`.
    """

    def __init__(
        self, folder: Path, spec: ModelSpec, *, rate: float | None, as_video: bool, video_width: int
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            folder: where the files go.
            spec: the model whose results are drawn.
            rate: frames per second of the video; None takes `FALLBACK_RATE`.
            as_video: one video rather than a picture of each frame.
            video_width: greatest width of the video in pixels.
        """
        self._folder = folder
        self._spec = spec
        self._style = OverlayStyle(legend=spec.task == 'semantic')
        self._most = -1.0
        self._best: Image | None = None
        self._video: VideoWriter | None = None
        if as_video:
            self._video = VideoWriter(
                folder / 'overlay.mp4', rate or FALLBACK_RATE, max_width=video_width
            )

    def add(self, image: Image, result: Result, status: Status, name: str) -> None:
        """Draw and write one frame.

        Args:
            image: uint8 [H, W, 3] BGR, not changed.
            result: what was found in it. Of an embedding there is nothing to draw.
            status: figures for the status line of a video.
            name: unique name of the frame.

        Raises:
            OutputError: the picture or video cannot be written.
        """
        spec = self._spec
        objects = classes = caption = None
        amount = 0.0
        if isinstance(result, Detections):
            objects = DrawnObjects.of(result, spec.classes, spec.skeleton)
            amount = len(result)
        elif isinstance(result, SegmentationMap):
            classes = DrawnClasses.of(result, spec.classes)
            amount = len(np.unique(result.class_ids[::8, ::8]))
        elif isinstance(result, Classification):
            caption = DrawnCaption.of(result, spec.classes)
            amount = float(result.scores.max(initial=0))
        picture = draw_overlay(
            image,
            objects=objects,
            classes=classes,
            caption=caption,
            status=status if self._video else None,
            style=self._style,
        )
        if self._video is None:
            path = self._folder / 'pictures' / f'{name}.jpg'
            write_picture(path, picture)
            return
        self._video.write(picture)
        if amount > self._most:
            self._most, self._best = amount, picture

    def close(self) -> None:
        """Finish the video.

        Raises:
            OutputError: it cannot be written.
        """
        if self._best is not None:
            write_picture(self._folder / 'overlay.png', self._best)
            self._best = None
        if self._video is not None:
            self._video.close()


def write_picture(path: Path, picture: Image) -> None:
    """Write a picture or mask in the format of the path's ending; no part of one keeps the name.

    Args:
        path: its folder is made if need be.
        picture: uint8 [H, W] or [H, W, 3] BGR.

    Raises:
        OutputError: it cannot be written.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == '.jpg' else []
    encoded, content = cv2.imencode(path.suffix, picture, options)
    if not encoded:
        height, width = picture.shape[:2]
        raise OutputError(f'{path}: {width}x{height} pixels do not fit into this format')
    part = path.with_name(f'{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.tobytes())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f'{path}: cannot be written: {error}') from error
