"""Key points and the lines that join them, drawn into pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SHOWN_FROM = 0.3
"""Key points of a lower confidence are a guess at something hidden, and are not drawn."""
_RIM = (22, 22, 22)


def draw_key_points(
    image: Image,
    key_points: NDArray[np.float32],
    skeleton: Sequence[tuple[int, int]],
    colors: NDArray[np.uint8],
    line: int,
) -> None:
    """Draw the points of each object and its skeleton; the first object lies on top.

    Args:
        image: uint8 [H, W, 3] BGR, contiguous; changed in place.
        key_points: float32 [N, K, 3], x and y in pixels, and the confidence in 0..1. Points that
            are not finite or of little confidence are left out.
        skeleton: pairs of indices into the K points; others are left out.
        colors: uint8 [N, 3] RGB, one per object.
        line: width of the lines in pixels.
    """
    shown = np.isfinite(key_points).all(axis=2) & (key_points[:, :, 2] >= SHOWN_FROM)
    known = np.where(shown[:, :, None], key_points, 0)[:, :, :2].clip(-1e5, 1e5)
    # OpenCV takes whole 1/16 pixels, with pixel centres at whole numbers.
    fixed = np.rint((known - 0.5) * 16).astype(np.int32)
    count = key_points.shape[1]
    bones = [(a, b) for a, b in skeleton if 0 <= a < count and 0 <= b < count]
    radius = line + 1
    for index in range(len(key_points) - 1, -1, -1):
        points, visible = fixed[index].tolist(), shown[index].tolist()
        color = colors[index, ::-1].tolist()
        for a, b in bones:
            if visible[a] and visible[b]:
                cv2.line(image, points[a], points[b], color, (line + 1) // 2, cv2.LINE_AA, 4)
        for point in (p for p, seen in zip(points, visible, strict=True) if seen):
            cv2.circle(image, point, (radius + 1) * 16, _RIM, -1, cv2.LINE_AA, 4)
            cv2.circle(image, point, radius * 16, color, -1, cv2.LINE_AA, 4)
