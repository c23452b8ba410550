"""Images from files: one, or all in a folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import FrameError, SourceError
from trt_perception.frames import Frame
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.source import Source

SUFFIXES = frozenset(
    ['.bmp', '.jpeg', '.jpg', '.jp2', '.pbm', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp']
)
"""File name endings that count as images, in lower case."""

log = logging.getLogger(__name__)


class ImageSource(Source):
    """One image file; a pass has one frame."""

    def __init__(self, path: Path, frame_id: str = '') -> None:
        """Read the file.

        Raises:
            SourceError: it is missing, or no image that can be decoded.
        """
        super().__init__(path.name)
        image = _read_or_refuse(path)
        self.size = image.shape[1], image.shape[0]
        self.count = 1
        self.label = path.stem
        self._frame = Frame.from_bgr(image, frame_id=frame_id)

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame


class FolderSource(Source):
    """The images in a folder, in the order in which people sort names: 2 before 10.

    A file that cannot be decoded is logged, counted in `skipped` and passed over. Files that end
    in none of `SUFFIXES`, and folders in the folder, are left alone.
    """

    def __init__(self, folder: Path, frame_id: str = '') -> None:
        """List the folder and make sure that an image in it can be read.

        Raises:
            SourceError: it cannot be listed, holds no images, or none can be decoded.
        """
        super().__init__(folder.name or str(folder))
        self._frame_id = frame_id
        self._closed = False
        try:
            files = [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()]
        except OSError as error:
            raise SourceError(f'{folder}: the folder cannot be listed: {error}') from error
        if not files:
            raise SourceError(
                f'{folder}: no images in this folder. Expected files that end in '
                f'{" ".join(sorted(SUFFIXES))}, or a bag with metadata.yaml'
            )
        self._files = sorted(files, key=natural_key)
        self.count = len(files)
        if not any(_read(file)[0] is not None for file in self._files):
            raise SourceError(
                f'{folder}: none of its {len(files)} images can be decoded. '
                f'The first one: {_read(self._files[0])[1]}'
            )

    def __iter__(self) -> Iterator[Frame]:
        for file in self._files:
            if self._closed:
                return
            image, reason = _read(file)
            if image is None:
                self.skipped['unreadable'] += 1
                log.warning('%s: skipped: %s', file, reason)
                continue
            self.label = file.stem
            yield Frame.from_bgr(image, frame_id=self._frame_id)

    def close(self) -> None:
        """End a running iteration."""
        self._closed = True


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which 'frame2' comes before 'frame10'."""
    parts = re.split(r'([0-9]+)', path.name.casefold())
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts if p)


def _read(path: Path) -> tuple[NDArray[np.uint8] | None, str]:
    """uint8 [H, W, 3] BGR, or None with the reason."""
    try:
        return to_bgr(Frame.from_file_bytes(path.read_bytes())), ''
    except (OSError, FrameError) as error:
        return None, str(error)


def _read_or_refuse(path: Path) -> NDArray[np.uint8]:
    image, reason = _read(path)
    if image is None:
        raise SourceError(f'{path}: cannot be read as an image: {reason}')
    return image
