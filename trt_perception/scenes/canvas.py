"""Drawing surfaces: a picture and, drawn with the same polygons, whose each pixel is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SHIFT = 4
"""Fraction bits of polygon corners."""

Colour = tuple[float, float, float]
Corners = NDArray[np.int32]


def to_corners(pixels: NDArray[Any]) -> Corners:
    """Float pixel positions [N, 2] to the fixed point form that the canvas draws."""
    clipped = np.clip(pixels, -20000.0, 20000.0)
    return np.asarray(np.rint(clipped * (1 << SHIFT)), dtype=np.int32)


class Canvas:
    """A picture uint8 [H, W, 3 or 4] and the owner of each pixel, uint16 [H, W].

    With four channels it is a sprite: drawing on black with opacity as fourth channel leaves
    premultiplied colours. `origin` is the position of its first pixel in the whole picture.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        owners: NDArray[np.uint16],
        origin: tuple[int, int] = (0, 0),
    ) -> None:
        self.image = image
        self.owners = owners
        self.origin = origin
        self._offset = np.array(origin, dtype=np.int32) << SHIFT
        self._moved = origin != (0, 0)

    def fill(self, corners: Corners, colour: Any, owner: int = 0) -> None:
        """Fill a polygon, corners int32 [N, 2] in fixed point; owner 0 leaves ownership alone."""
        if self._moved:
            corners = corners - self._offset
        cv2.fillPoly(self.image, [corners], (*colour, 255.0), cv2.LINE_AA, SHIFT)
        if owner:
            cv2.fillPoly(self.owners, [corners], owner, cv2.LINE_8, SHIFT)

    def fill_hull(self, corners: Corners, colour: Any, owner: int = 0) -> None:
        """Fill the convex hull of the corners."""
        self.fill(np.asarray(cv2.convexHull(corners)[:, 0], dtype=np.int32), colour, owner)

    def own_hull(self, corners: Corners, owner: int) -> None:
        """Give the convex hull of the corners to an owner without painting it."""
        hull = cv2.convexHull(corners - self._offset if self._moved else corners)[:, 0]
        cv2.fillPoly(self.owners, [hull], owner, cv2.LINE_8, SHIFT)

    def fill_translucent(self, corners: Corners, colour: Colour, opacity: float) -> None:
        """Fill a polygon with part of the background showing through; not for sprites."""
        low, high = corners.min(0) >> SHIFT, (corners.max(0) >> SHIFT) + 2
        height, width = self.owners.shape
        x0, y0 = max(int(low[0]) - 1, 0), max(int(low[1]) - 1, 0)
        x1, y1 = min(int(high[0]) + 1, width), min(int(high[1]) + 1, height)
        if x0 >= x1 or y0 >= y1:
            return
        patch = self.image[y0:y1, x0:x1]
        before = patch.copy()
        self.fill(corners, colour)
        cv2.addWeighted(patch, opacity, before, 1.0 - opacity, 0.0, dst=patch)

    def glow(self, x: float, y: float, radius: float, colour: Colour, stretch: float = 1.0) -> None:
        """Add a soft light around a pixel; `radius` px across, `stretch` times that down."""
        rx, ry = max(radius, 1.0), max(radius * stretch, 1.0)
        left, top = round(x - rx) - self.origin[0], round(y - ry) - self.origin[1]
        wide, tall = max(round(2 * rx), 2), max(round(2 * ry), 2)
        height, width = self.owners.shape
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, width), min(top + tall, height)
        if x0 >= x1 or y0 >= y1 or wide > 4 * width or tall > 4 * height:
            return
        tile = cv2.resize(_GLOW, (wide, tall), interpolation=cv2.INTER_LINEAR)
        tile = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        patch = self.image[y0:y1, x0:x1, :3]
        light = cv2.merge([tile * (value / 255.0) for value in colour])
        patch[...] = cv2.add(patch, light, dtype=cv2.CV_8U)


def _glow_tile() -> NDArray[np.float32]:
    axis = np.linspace(-1.0, 1.0, 64, dtype=np.float32)
    radius = np.sqrt(axis[None, :] ** 2 + axis[:, None] ** 2)
    falloff = np.clip(1.0 - radius, 0.0, 1.0) ** 2
    return np.asarray(255.0 * (0.55 * falloff + 0.45 * falloff**4), dtype=np.float32)


_GLOW = _glow_tile()


@dataclass(frozen=True)
class Sprite:
    """A thing that never moves, drawn once: premultiplied colour and what it lets through."""

    origin: tuple[int, int]
    colour: NDArray[np.uint8]
    behind: NDArray[np.uint8]
    mask: NDArray[np.bool_]

    def paste(self, canvas: Canvas, owner: int) -> None:
        """Lay the sprite over the canvas."""
        x, y = self.origin
        height, width = self.mask.shape
        patch = canvas.image[y : y + height, x : x + width]
        cv2.multiply(patch, self.behind, dst=patch, scale=1.0 / 255.0)
        cv2.add(patch, self.colour, dst=patch)
        np.copyto(canvas.owners[y : y + height, x : x + width], owner, where=self.mask)


def finish_sprite(canvas: Canvas) -> Sprite:
    """A four-channel canvas as a sprite."""
    opacity = canvas.image[:, :, 3]
    behind = cv2.merge([255 - opacity] * 3)
    return Sprite(
        canvas.origin,
        np.asarray(cv2.cvtColor(canvas.image, cv2.COLOR_BGRA2BGR), dtype=np.uint8),
        np.asarray(behind, dtype=np.uint8),
        canvas.owners > 0,
    )
