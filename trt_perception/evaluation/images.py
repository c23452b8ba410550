"""Reads one image of a data set from its file."""

from __future__ import annotations

from pathlib import Path

from trt_perception.errors import FrameError, SourceError
from trt_perception.frames import Frame
from trt_perception.preprocessing.colour import to_bgr


def read_image(path: Path) -> Frame:
    """The file's picture, decoded, so that a damaged one is found here.

    Raises:
        SourceError: it is missing or no picture.
    """
    try:
        return Frame.from_bgr(to_bgr(Frame.from_file_bytes(path.read_bytes())))
    except (OSError, FrameError) as error:
        raise SourceError(f'{path}: cannot be read as an image: {error}') from error
