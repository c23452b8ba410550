"""Pictures for the colour networks, and what a node should find in them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from nodes.colour_networks import BGR, SIZE


def scene(width: int, height: int, *boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """A grey picture with filled boxes (class, x1, y1, x2, y2), the ends not included."""
    image = np.full((height, width, 3), 90, np.uint8)
    for index, x1, y1, x2, y2 in boxes:
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), BGR[index], -1)
    return image


def three_boxes(width: int, height: int) -> list[tuple[int, int, int, int, int]]:
    """One box for each class, in different corners of any picture."""
    x, y = width / 100, height / 100
    return [
        (0, int(4 * x), int(6 * y), int(30 * x), int(45 * y)),
        (1, int(55 * x), int(10 * y), int(97 * x), int(38 * y)),
        (2, int(35 * x), int(58 * y), int(60 * x), int(95 * y)),
    ]


def tolerance(width: int, height: int) -> float:
    """Pixels of the source that one pixel of the networks' input covers: they see no finer."""
    return max(width / SIZE[0], height / SIZE[1], 1.0)


def found(message: Any) -> dict[str, tuple[float, float, float, float]]:
    """Corners (x1, y1, x2, y2) of each detection of a Detection2DArray, by its class."""
    return {
        d.results[0].hypothesis.class_id: (
            d.bbox.center.position.x - d.bbox.size_x / 2,
            d.bbox.center.position.y - d.bbox.size_y / 2,
            d.bbox.center.position.x + d.bbox.size_x / 2,
            d.bbox.center.position.y + d.bbox.size_y / 2,
        )
        for d in message.detections
    }
