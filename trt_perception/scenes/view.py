"""What every drawn thing needs to know: the camera, the light, and their meeting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.scenes.atmosphere import Atmosphere
from trt_perception.scenes.camera import Camera

Floats = NDArray[np.float64]
Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """Camera and atmosphere of one scene."""

    camera: Camera
    atmosphere: Atmosphere

    def tone(
        self, colours: Floats, light: Floats, depth: float, glowing: NDArray[np.bool_] | None = None
    ) -> list[list[float]]:
        """Colours [N, 3] under light factors [N, 3] or [3], seen through the air at a depth.

        `glowing` [N] marks colours that shine by themselves.
        """
        lit = np.minimum(colours * light, 250.0)
        if glowing is not None:
            lit = np.where(glowing[:, None], colours, lit)
        haze = self.atmosphere.haze(depth)
        return list((lit + haze * (self.atmosphere.fog_colour - lit)).tolist())

    def scale(self, depth: float) -> float:
        """Pixels per metre at a depth."""
        return self.camera.focal / max(depth, 0.35)


def extent_of(pixels: Floats) -> Extent:
    """Bounds (x0, y0, x1, y1) of pixels [N, 2]."""
    low, high = pixels.min(0), pixels.max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
