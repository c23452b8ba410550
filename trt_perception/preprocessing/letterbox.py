"""How an image is placed in the network's input, there and back.

Coordinates are continuous: pixel i covers [i, i + 1), its centre lies at i + 0.5. In these
coordinates the placement is one scale and one shift per axis,
network = source * scale + offset, with the scale that the rounded size really has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(width, height) in pixels."""

CROPPED = 0.875
"""Share of the resized image's shorter side that a centre crop keeps unless it is stated."""


@dataclass(frozen=True)
class Letterbox:
    """Where one source image lies in the network's input.

    Attributes:
        source: (width, height) of the image.
        network: (width, height) of the network's input.
        resized: (width, height) of the whole image in network pixels, each at least 1.
        offset: (left, top) of its upper left corner in the network's input; the rest is padding.
            Negative where the image is larger than the input and cut, as by a centre crop.
    """

    source: Size
    network: Size
    resized: Size
    offset: tuple[int, int]

    @classmethod
    def fit(
        cls,
        source: Size,
        network: Size,
        resize: Literal['letterbox', 'stretch', 'centre_crop'] = 'letterbox',
        pad: Literal['centre', 'bottom_right'] = 'centre',
        shorter_side: int | None = None,
    ) -> Letterbox:
        """Place an image of `source` pixels in a network input of `network` pixels.

        'letterbox' takes the largest size of the same aspect ratio, rounded to whole pixels.
        `pad` 'centre' centres it, where an odd pixel of padding goes to the right or the bottom;
        'bottom_right' puts it into the upper left corner. 'stretch' fills the input.
        'centre_crop' makes the image's shorter side `shorter_side` pixels long and cuts the
        middle out, with the roundings of torchvision's Resize and CenterCrop; None is the
        input's longer side divided by 0.875.

        Raises:
            ValueError: an extent is below 1, or `shorter_side` below an extent of the input.
        """
        if min(*source, *network) < 1:
            raise ValueError(f'image {source} and network input {network} must be at least 1x1')
        if resize == 'stretch':
            return cls(source, network, network, (0, 0))
        if resize == 'centre_crop':
            return cls._cropped(source, network, shorter_side or round(max(network) / CROPPED))
        ratio = min(network[0] / source[0], network[1] / source[1])
        width = min(max(round(source[0] * ratio), 1), network[0])
        height = min(max(round(source[1] * ratio), 1), network[1])
        offset = (0, 0)
        if pad == 'centre':
            offset = ((network[0] - width) // 2, (network[1] - height) // 2)
        return cls(source, network, (width, height), offset)

    @classmethod
    def _cropped(cls, source: Size, network: Size, shorter_side: int) -> Letterbox:
        if shorter_side < max(network):
            raise ValueError(f'shorter side {shorter_side} does not cover {network}')
        short = min(source)
        width, height = (shorter_side * extent // short for extent in source)
        offset = (-round((width - network[0]) / 2), -round((height - network[1]) / 2))
        return cls(source, network, (width, height), offset)

    @property
    def scale(self) -> tuple[float, float]:
        """Network pixels per source pixel, for x and for y."""
        return self.resized[0] / self.source[0], self.resized[1] / self.source[1]

    def to_source(self, boxes: NDArray[Any]) -> NDArray[np.float32]:
        """Map boxes from the network's input into the image and clip them to it.

        Args:
            boxes: float [N, 4], x1 y1 x2 y2 in network pixels.

        Returns:
            float32 [N, 4] in source pixels, 0 <= x <= width, 0 <= y <= height.
        """
        offset, scale, limits = self._of_boxes
        mapped = np.asarray(boxes, np.float64).reshape(-1, 4) - offset
        mapped /= scale
        np.maximum(mapped, 0.0, out=mapped)
        np.minimum(mapped, limits, out=mapped)
        return np.asarray(mapped, np.float32)

    def points_to_source(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Map points from the network's input into the image; nothing is clipped.

        Args:
            points: float [..., 2k], x and y in turn, in network pixels.

        Returns:
            float32 of the same shape, in source pixels; may lie outside the image.
        """
        pairs = np.asarray(points, np.float64)
        turns = pairs.shape[-1] // 2
        offset, scale = np.array(self.offset * turns, np.float64), np.array(self.scale * turns)
        return np.asarray((pairs - offset) / scale, np.float32)

    @cached_property
    def _of_boxes(self) -> NDArray[np.float64]:
        """float64 [3, 4]: offset, scale and greatest value of x1 y1 x2 y2."""
        return np.array([self.offset * 2, self.scale * 2, self.source * 2], np.float64)

    def to_network(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Map points, or boxes, from the image into the network's input; nothing is clipped.

        Args:
            points: float [..., 2k], x and y in turn, in source pixels.

        Returns:
            float32 of the same shape, in network pixels.
        """
        pairs = np.asarray(points, np.float64)
        mapped = pairs.reshape(-1, 2) * self.scale + self.offset
        return np.asarray(mapped.reshape(pairs.shape), np.float32)
