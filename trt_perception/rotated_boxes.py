"""The geometry of oriented boxes: cx cy w h theta, theta turning the x axis towards the y axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def corners_of(rotated_boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The corners of oriented boxes.

    Args:
        rotated_boxes: float32 [N, 5], centre x, centre y, width, height, angle in radians; the
            angle turns x towards y, which is clockwise in a picture.

    Returns:
        float32 [N, 4, 2]: x, y of the corners (-w, -h), (w, -h), (w, h), (-w, h), halved and
        turned.
    """
    boxes = np.asarray(rotated_boxes, np.float32).reshape(-1, 5)
    # Numbers that are none stay none, without a warning.
    with np.errstate(invalid='ignore', over='ignore'):
        cosine, sine = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
        along = np.stack([cosine, sine], axis=1) * (boxes[:, 2:3] / 2)
        across = np.stack([-sine, cosine], axis=1) * (boxes[:, 3:4] / 2)
        steps = (-along - across, along - across, along + across, across - along)
        return np.stack([boxes[:, :2] + step for step in steps], axis=1).astype(np.float32)
