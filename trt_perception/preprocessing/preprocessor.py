"""From an image to the network's input on the CPU, which the GPU's kernels are compared with."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from trt_perception.model_input import InputSpec
from trt_perception.preprocessing.letterbox import Letterbox, Size


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
