"""A pinhole camera over a flat street.

World axes: x to the right across the street, y along the street, z up; metres. Pixel (0, 0) is
the centre of the top left pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 0.35
"""Points nearer than this (metres) are moved onto this plane before projection.

Everything long in the scene runs along the street and so almost along the optical axis; there the
moved point stays on the true line, and the error lies outside the picture.
"""


class Camera:
    """Projection of world points into the picture."""

    def __init__(
        self,
        size: tuple[int, int],
        focal: float,
        position: tuple[float, float, float],
        yaw: float,
        pitch: float,
    ) -> None:
        """`size` (width, height) px, `focal` px, `yaw` to the right and `pitch` down in radians."""
        self.width, self.height = size
        self.focal = focal
        self.position = np.array(position, dtype=np.float64)
        self.centre = np.array([(self.width - 1) / 2.0, (self.height - 1) / 2.0])
        forward = np.array(
            [
                math.sin(yaw) * math.cos(pitch),
                math.cos(yaw) * math.cos(pitch),
                -math.sin(pitch),
            ]
        )
        right = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
        self.rotation = np.stack([right, np.cross(forward, right), forward])
        self.horizon = self.centre[1] - focal * math.tan(pitch)

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """World points [N, 3] to pixels [N, 2] and depth [N] along the optical axis in metres."""
        view = (points - self.position) @ self.rotation.T
        depth = view[:, 2]
        pixels = view[:, :2] * (self.focal / np.maximum(depth, NEAR))[:, None] + self.centre
        return pixels, depth

    def depth_of(self, x: float, y: float, z: float = 0.0) -> float:
        """Depth of one world point in metres, negative behind the camera."""
        offset = np.array([x, y, z]) - self.position
        return float(self.rotation[2] @ offset)

    def rays(
        self, top: int, bottom: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """World directions of the pixels in rows top to bottom, scaled to depth 1.

        x and y parts [rows, width] and z part [rows, 1]: the camera does not roll, so that all
        of a row looks down alike.
        """
        u = (np.arange(self.width, dtype=np.float32) - np.float32(self.centre[0])) / self.focal
        v = (np.arange(top, bottom, dtype=np.float32) - np.float32(self.centre[1])) / self.focal
        right, down, forward = self.rotation.astype(np.float32)
        u = u.astype(np.float32)[None, :]
        v = v.astype(np.float32)[:, None]
        x = u * right[0] + (v * down[0] + forward[0])
        y = u * right[1] + (v * down[1] + forward[1])
        return x, y, v * down[2] + forward[2]
