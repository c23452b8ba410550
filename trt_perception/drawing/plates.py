"""Plates with text: rounded, filled, and placed so that they can be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.drawing.text import text_coverage
from trt_perception.model_spec import Color

Image = NDArray[np.uint8]
Rect = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are the first ones outside."""


def plate_size(text: str, font_px: int) -> tuple[int, int]:
    """(width, height) of a plate in pixels."""
    rows, columns = text_coverage(text, font_px).shape
    padding = _padding(font_px)
    return columns + 2 * padding, rows + 2 * (padding // 3)


def draw_plate(
    image: Image,
    text: str,
    corner: tuple[int, int],
    font_px: int,
    color: Color,
    opacity: float = 1.0,
) -> None:
    """Draw a plate into `image`, as far as it lies inside.

    Args:
        image: uint8 [H, W, 3] BGR, changed in place.
        text: one line, in black or white, whichever stands out.
        corner: (left, top) in pixels.
        font_px: size of the letters.
        color: RGB of the plate.
        opacity: of the plate, 0..1; the letters are always opaque.
    """
    width, height = plate_size(text, font_px)
    x, y = corner
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, image.shape[1]), min(y + height, image.shape[0])
    if right <= left or bottom <= top:
        return
    cut = np.s_[top - y : bottom - y, left - x : right - x]
    ink = _framed(text, font_px)[cut]
    alpha = _rounded(width, height, font_px // 4)[cut]
    if opacity < 1:
        alpha = alpha * np.maximum(np.float32(opacity), ink * np.float32(1 / 255))
    under = image[top:bottom, left:right]
    # All but the rim of an opaque plate is simply copied.
    rim = alpha < 1
    before = under[rim].astype(np.float32)
    under[:] = _shades(color)[ink]
    under[rim] = before + (under[rim] - before) * alpha[rim][:, None] + np.float32(0.5)


def _framed(text: str, font_px: int) -> NDArray[np.uint8]:
    """uint8 [height, width] of the plate: coverage by the letters."""
    coverage = text_coverage(text, font_px)
    width, height = plate_size(text, font_px)
    left, top = _padding(font_px), _padding(font_px) // 3
    framed = np.zeros((height, width), np.uint8)
    framed[top : top + coverage.shape[0], left : left + coverage.shape[1]] = coverage
    return framed


@lru_cache(maxsize=512)
def _shades(color: Color) -> NDArray[np.uint8]:
    """uint8 [256, 3] BGR: from the plate's colour to that of its letters, by coverage."""
    bgr = np.array(color[::-1], np.float32)
    shares = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    return np.rint(bgr + (text_level(color) - bgr) * shares).astype(np.uint8)


def text_level(color: Color) -> np.float32:
    """Grey level of letters on `color` (RGB): 0 or 255, by its luminance (BT.709)."""
    red, green, blue = color
    return np.float32(20 if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 110 else 255)


class PlateBoard:
    """Finds places for plates beside their boxes where they can be read and hide little."""

    def __init__(
        self,
        size: tuple[int, int],
        boxes: NDArray[np.float32] | None = None,
        taken: Sequence[Rect] = (),
    ) -> None:
        """Start with nothing placed.

        Args:
            size: (width, height) of the image.
            boxes: float32 [N, 4] of all objects, which plates should not hide.
            taken: where no plate may go.
        """
        self._size = size
        self._boxes = np.zeros((0, 4), np.float32) if boxes is None else boxes
        extents = self._boxes[:, 2:] - self._boxes[:, :2]
        self._areas = np.maximum(extents.prod(axis=1), 1)
        self._taken: NDArray[np.int64] = np.zeros((64, 4), np.int64)
        self._count = 0
        for rect in taken:
            self._take(rect)

    def place(self, box: Sequence[float], width: int, height: int) -> tuple[int, int] | None:
        """Corner (left, top) for a plate of width x height pixels that belongs to `box`.

        Of the places above, below and inside the box, on its left and right, those are left
        that cover no other plate; among them the one that hides the smallest shares of boxes
        is taken, the first of equals. None where there is no such place.

        Args:
            box: x1, y1, x2, y2 in pixels.
            width, height: of the plate.
        """
        x1, y1, x2, y2 = (round(value) for value in box)
        corners = (
            (x1, y1 - height),
            (x2 - width, y1 - height),
            (x1, y2),
            (x2 - width, y2),
            (x1, y1),
            (x2 - width, y2 - height),
        )
        rects = np.array([self._rect(corner, width, height) for corner in corners])
        free = _overlaps(self._taken[: self._count], rects).sum(axis=0) == 0
        hidden = (_overlaps(self._boxes, rects) / self._areas[:, None]).sum(axis=0)
        chosen = None
        for index in np.flatnonzero(free).tolist():
            # The first of equals: an early place is given up for a clear gain only.
            if chosen is None or hidden[index] < hidden[chosen] - 0.02:
                chosen = index
        if chosen is None:
            return None
        left, top, right, bottom = rects[chosen].tolist()
        self._take((left, top, right, bottom))
        return left, top

    def _rect(self, corner: tuple[int, int], width: int, height: int) -> Rect:
        """The plate there, moved into the image."""
        x = max(0, min(corner[0], self._size[0] - width))
        y = max(0, min(corner[1], self._size[1] - height))
        return x, y, x + width, y + height

    def _take(self, rect: Rect) -> None:
        if self._count == len(self._taken):
            self._taken = np.vstack([self._taken, np.zeros_like(self._taken)])
        self._taken[self._count] = rect
        self._count += 1


def _overlaps(rects: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """[N, M]: area that each of `rects` [N, 4] shares with each of `others` [M, 4]."""
    low = np.maximum(rects[:, None, :2], others[:, :2])
    high = np.minimum(rects[:, None, 2:], others[:, 2:])
    extents: NDArray[Any] = np.maximum(high - low, 0)
    return np.asarray(extents[:, :, 0] * extents[:, :, 1])


def _padding(font_px: int) -> int:
    return max(3, round(font_px * 0.45))


@lru_cache(maxsize=512)
def _rounded(width: int, height: int, radius: int) -> NDArray[np.float32]:
    """float32 [height, width] in 0..1: coverage of a rectangle with rounded corners."""
    fine = 4
    shape = np.zeros((height * fine, width * fine), np.uint8)
    r = min(radius, width // 2, height // 2) * fine
    right, bottom = width * fine - 1, height * fine - 1
    cv2.rectangle(shape, (r, 0), (right - r, bottom), 255, -1)
    cv2.rectangle(shape, (0, r), (right, bottom - r), 255, -1)
    for center in ((r, r), (right - r, r), (r, bottom - r), (right - r, bottom - r)):
        cv2.circle(shape, center, r, 255, -1)
    coarse = cv2.resize(shape, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(coarse, np.float32) / np.float32(255)
