"""How an image is placed in the network's input, there and back, and the CPU preprocessing.

Coordinates are continuous: pixel i covers [i, i + 1), its centre lies at i + 0.5. In these
coordinates the placement is one scale and one shift per axis,
network = source * scale + offset, with the scale that the rounded size really has.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from trt_perception.model_input import InputSpec

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


class Preprocessor:
    """Image to network input on the CPU: resize, pad, normalise, channels first.

    It is the reference for every faster implementation. The result differs from bilinear
    interpolation in float64 by at most one grey level (times `scale`), since OpenCV
    interpolates 8-bit images in fixed point. Used by one thread at a time.
    """

    def __init__(self, spec: InputSpec, dtype: DTypeLike = np.float32) -> None:
        """Prepare for one model.

        Args:
            spec: the model's input; tensor = (pixel - mean) * scale.
            dtype: of the tensors that are written, np.float32, np.float16 or, for networks that
                take pixels as they are (mean 0, scale 1), np.uint8.

        Raises:
            ValueError: another type, or np.uint8 with another mean or scale.
        """
        self._spec = spec
        self._dtype = np.dtype(dtype)
        if self._dtype not in (np.float32, np.float16, np.uint8):
            raise ValueError(f'network inputs are float32, float16 or uint8, not {self._dtype}')
        if self._dtype == np.uint8 and (any(spec.mean) or set(spec.scale) != {1.0}):
            raise ValueError(f'uint8 input with mean {spec.mean} and scale {spec.scale}')
        self._mean = np.array(spec.mean, np.float32)
        self._scale = np.array(spec.scale, np.float32)
        # What becomes of each grey level in each channel.
        levels = (np.arange(256) - np.array(spec.mean)[:, None]) * np.array(spec.scale)[:, None]
        self._levels = levels.astype(self._dtype)
        self._placed: Letterbox | None = None
        # Buffers for one geometry: fresh memory costs more than the work done in it.
        self._resized = np.empty((0, 0, 3), np.uint8)
        self._planes: list[NDArray[np.uint8]] = []
        self._padded: dict[int, _Padded] = {}

    def __call__(self, image: NDArray[np.uint8], out: NDArray[Any]) -> Letterbox:
        """Write the network's input for one image.

        Args:
            image: uint8 [H, W, 3], BGR.
            out: [3, h, w] of this preprocessor's dtype and the model's size. All of it is
                written, but padding that is there already from an earlier call is left alone,
                so nobody else may write to `out` in between.

        Returns:
            Where the image was placed.

        Raises:
            ValueError: `image` or `out` has the wrong shape or type.
        """
        self._check(image, out)
        height, width = image.shape[:2]
        spec = self._spec
        letterbox = self._place((width, height))
        if spec.resize == 'centre_crop':
            self._normalise(self._cut(image, letterbox), out)
            return letterbox
        self._pad(out, letterbox)
        left, top = letterbox.offset
        columns, rows = letterbox.resized
        interior = out[:, top : top + rows, left : left + columns]
        self._normalise(self._resize(image, letterbox), interior)
        return letterbox

    def _place(self, source: Size) -> Letterbox:
        """Where images of this size lie, as found for the last one where it was of this size."""
        if self._placed is None or self._placed.source != source:
            spec = self._spec
            self._placed = Letterbox.fit(
                source, spec.size, spec.resize, spec.pad, spec.shorter_side
            )
        return self._placed

    def _check(self, image: NDArray[np.uint8], out: NDArray[Any]) -> None:
        width, height = self._spec.size
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f'expected a uint8 [H, W, 3] image, got {image.dtype} {image.shape}')
        if out.shape != (3, height, width) or out.dtype != self._dtype:
            raise ValueError(
                f'expected an output of {self._dtype} (3, {height}, {width}), '
                f'got {out.dtype} {out.shape}'
            )

    def _cut(self, image: NDArray[np.uint8], letterbox: Letterbox) -> NDArray[Any]:
        """The part of the resized image that lies in the network's input."""
        columns, rows = letterbox.resized
        width, height = letterbox.network
        if columns * rows > _LONG * width * height:
            return _interpolated(image, letterbox)
        left, top = (-shift for shift in letterbox.offset)
        return self._resize(image, letterbox)[top : top + height, left : left + width]

    def _resize(self, image: NDArray[np.uint8], letterbox: Letterbox) -> NDArray[Any]:
        columns, rows = letterbox.resized
        if self._resized.shape[:2] != (rows, columns):
            self._resized = np.empty((rows, columns, 3), np.uint8)
        if letterbox.source == letterbox.resized:
            return image
        method = cv2.INTER_LINEAR
        if _centres_meet(letterbox):
            # Bilinear interpolation has nothing to interpolate: half the time, the same pixels.
            method = cv2.INTER_NEAREST_EXACT
        return cv2.resize(image, letterbox.resized, dst=self._resized, interpolation=method)

    def _normalise(self, image: NDArray[Any], interior: NDArray[Any]) -> None:
        """Write (image - mean) * scale into `interior` [3, rows, columns]."""
        if not self._planes or self._planes[0].shape != image.shape[:2]:
            self._planes = [np.empty(image.shape[:2], np.uint8) for _ in range(3)]
        planes = cv2.split(image, self._planes)
        if self._spec.color_order == 'rgb':
            planes = planes[::-1]
        for channel, (plane, target) in enumerate(zip(planes, interior, strict=True)):
            if self._dtype == np.float16:
                # NumPy computes slowly in float16, but a table does not ask what its entries mean.
                table = self._levels[channel].view(np.uint16)
                cv2.LUT(plane, table, dst=target.view(np.uint16))
                continue
            # Step by step in place: faster than one call that converts as it multiplies.
            np.copyto(target, plane)
            if self._mean[channel] != 0:
                np.subtract(target, self._mean[channel], out=target)
            if self._scale[channel] != 1:
                np.multiply(target, self._scale[channel], out=target)

    def _pad(self, out: NDArray[Any], letterbox: Letterbox) -> None:
        """Fill `out` with the padding's value, unless it is known to be there."""
        address = out.__array_interface__['data'][0]
        known = self._padded.get(address)
        if known is not None and known.holds(out, letterbox):
            return
        out[:] = self._levels[:, self._spec.pad_value, None, None]
        if len(self._padded) >= _MOST_PADDED:
            self._padded.clear()
        self._padded[address] = _Padded(out, letterbox)


_MOST_PADDED = 32
"""Tensors whose padding is remembered; more than any batch, few enough to forget at once."""


class _Padded:
    """Remembers that a tensor holds the padding of one geometry, as long as its memory lives."""

    def __init__(self, out: NDArray[Any], letterbox: Letterbox) -> None:
        self._layout = (out.dtype, out.strides)
        self._geometry = (letterbox.resized, letterbox.offset)
        self._owner = _owner_of(out)

    def holds(self, out: NDArray[Any], letterbox: Letterbox) -> bool:
        """Whether `out`, at the same address, is that tensor with the same padding."""
        owner = self._owner()
        return (
            owner is not None
            and owner is _owner_of(out)()
            and self._layout == (out.dtype, out.strides)
            and self._geometry == (letterbox.resized, letterbox.offset)
        )


def _owner_of(out: NDArray[Any]) -> Callable[[], NDArray[Any] | None]:
    """Weak reference to the array whose memory `out` shows; to nothing if it is no array's."""
    owner = out if out.base is None else out.base
    if isinstance(owner, np.ndarray) and owner.base is None:
        return weakref.ref(owner)
    return lambda: None


_LONG = 8
"""A resized image of more than so many times the input's pixels is not made to be cut."""


def _interpolated(image: NDArray[np.uint8], letterbox: Letterbox) -> NDArray[np.uint8]:
    """The network's input, interpolated bilinearly pixel by pixel: uint8 [h, w, 3]."""
    taps = []
    for axis, source in enumerate(letterbox.source):
        centres = np.arange(letterbox.network[axis]) + 0.5 - letterbox.offset[axis]
        position = np.clip(centres / letterbox.scale[axis] - 0.5, 0, source - 1)
        lower = position.astype(np.intp)
        taps.append((lower, np.minimum(lower + 1, source - 1), position - lower))
    (x0, x1, fx), (y0, y1, fy) = taps
    left, right = (
        image[y0][:, x] * (1 - fy)[:, None, None] + image[y1][:, x] * fy[:, None, None]
        for x in (x0, x1)
    )
    mixed = left * (1 - fx)[:, None] + right * fx[:, None]
    return np.asarray(np.rint(mixed), np.uint8)


def _centres_meet(letterbox: Letterbox) -> bool:
    """Whether every pixel of the resized image has its centre on that of a source pixel."""
    return all(
        source % resized == 0 and source // resized % 2 == 1
        for source, resized in zip(letterbox.source, letterbox.resized, strict=True)
    )
