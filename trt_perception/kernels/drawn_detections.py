"""Detections whose id image is there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trt_perception.results import Detections, InstanceMask


@dataclass(frozen=True)
class DrawnDetections(Detections):
    """Detections with the id image that the GPU made with their masks.

    Attributes:
        drawn: the masks that it shows. With other masks it is made anew.
        ids: uint16 [H, W], as of `id_image`.
    """

    drawn: Sequence[InstanceMask] = ()
    ids: NDArray[np.uint16] = field(default_factory=lambda: np.zeros((0, 0), np.uint16))

    def id_image(self) -> NDArray[np.uint16]:
        """See `Detections.id_image`."""
        return self.ids if self.masks is self.drawn else super().id_image()
