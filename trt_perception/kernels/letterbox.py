"""Raw camera images on the GPU to the network's input, in one kernel.

Equal to `to_bgr` followed by `Preprocessor`, bit by bit, where OpenCV interpolates by its own
portable code; an OpenCV with another implementation may differ from that by one grey level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trt_perception.kernels.launching import Launcher, blank, blocks, fill, struct
from trt_perception.model_input import InputSpec
from trt_perception.preprocessing.letterbox import Letterbox

MOST_IMAGES = 32
"""In one launch; larger batches take several."""

_COLUMNS, _ROWS = 32, 8
_PACKED, _TWO_PLANES, _PAIRS, _MOSAIC = range(4)

_PIXELS = struct(
    {
        'data': np.uint64,
        **dict.fromkeys(('width', 'height', 'step', 'layout', 'pixel_bytes'), np.int32),
        **dict.fromkeys(('first', 'second', 'third'), np.int32),
    }
)
_IMAGE = struct(
    {
        'pixels': _PIXELS,
        **dict.fromkeys(('step_x', 'step_y'), np.float64),
        **dict.fromkeys(('left', 'top', 'columns', 'rows'), np.int32),
    }
)
CALL = struct(
    {
        **dict.fromkeys(('tensor', 'levels'), np.uint64),
        **dict.fromkeys(('width', 'height', 'rgb', 'unused'), np.int32),
        'images': (_IMAGE, MOST_IMAGES),
    }
)


@dataclass(frozen=True)
class DeviceImage:
    """The bytes of one image on the GPU, as in `Frame`; checked by `check_frame` before.

    Attributes:
        address: of the first row.
        width, height: pixels.
        step: bytes from one row to the next.
        encoding: one of `DEVICE_ENCODINGS`.
        big_endian: byte order of encodings with 16 bits a channel.
    """

    address: int
    width: int
    height: int
    step: int
    encoding: str
    big_endian: bool = False


@dataclass(frozen=True)
class _Encoding:
    """How the kernel reads an encoding; `places` are `first`, `second` and `third` there."""

    layout: int
    places: tuple[int, int, int]
    channels: int = 1
    sample_bytes: int = 1

    def pixels(self, image: DeviceImage) -> dict[str, Any]:
        """The fields of an image's `Pixels`."""
        high = 0 if image.big_endian or self.sample_bytes == 1 else 1
        first, second, third = self.places
        if self.layout == _PACKED:
            first, second, third = (place * self.sample_bytes + high for place in self.places)
        elif self.layout == _MOSAIC:
            third = high
        return {
            **{'data': image.address, 'width': image.width, 'height': image.height},
            **{'step': image.step, 'layout': self.layout},
            'pixel_bytes': self.channels * self.sample_bytes,
            **{'first': first, 'second': second, 'third': third},
        }


_BGR, _RGB, _GREY = (0, 1, 2), (2, 1, 0), (0, 0, 0)
_UYVY, _YUYV = _Encoding(_PAIRS, (1, 0, 2)), _Encoding(_PAIRS, (0, 1, 3))
_RED = {'rggb': (0, 0), 'grbg': (1, 0), 'gbrg': (0, 1), 'bggr': (1, 1)}

_ENCODINGS = {
    'bgr8': _Encoding(_PACKED, _BGR, 3),
    '8UC3': _Encoding(_PACKED, _BGR, 3),
    'rgb8': _Encoding(_PACKED, _RGB, 3),
    'bgra8': _Encoding(_PACKED, _BGR, 4),
    'rgba8': _Encoding(_PACKED, _RGB, 4),
    'mono8': _Encoding(_PACKED, _GREY),
    '8UC1': _Encoding(_PACKED, _GREY),
    'mono16': _Encoding(_PACKED, _GREY, 1, 2),
    'bgr16': _Encoding(_PACKED, _BGR, 3, 2),
    'rgb16': _Encoding(_PACKED, _RGB, 3, 2),
    'bgra16': _Encoding(_PACKED, _BGR, 4, 2),
    'rgba16': _Encoding(_PACKED, _RGB, 4, 2),
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': _Encoding(_TWO_PLANES, (0, 1, 0)),
    'nv21': _Encoding(_TWO_PLANES, (1, 0, 0)),
    **{f'bayer_{name}8': _Encoding(_MOSAIC, (*red, 0)) for name, red in _RED.items()},
    **{f'bayer_{name}16': _Encoding(_MOSAIC, (*red, 0), 1, 2) for name, red in _RED.items()},
}

DEVICE_ENCODINGS = frozenset(_ENCODINGS)
"""What the kernel reads; other encodings are converted by `to_bgr` first."""

INDEPENDENT_ROWS = frozenset(
    name for name, encoding in _ENCODINGS.items() if encoding.layout in (_PACKED, _PAIRS)
)
"""Encodings in which a pixel depends on its own row alone."""


class LetterboxKernel:
    """Writes the input of one network. Used by the GPU's owner only."""

    def __init__(self, launcher: Launcher, spec: InputSpec, dtype: DTypeLike) -> None:
        """Copy what becomes of each grey level to the GPU.

        Args:
            launcher: of the GPU.
            spec: the model's input; tensor = (pixel - mean) * scale.
            dtype: of the tensor, np.float32, np.float16 or np.uint8; the last one takes pixels
                as they are.

        Raises:
            ValueError: another type, or np.uint8 with another mean or scale.
        """
        self._launcher = launcher
        self._spec = spec
        self._dtype = np.dtype(dtype)
        self._kernel = f'letterbox_{self._dtype}'  # NumPy takes long to name a type
        self._levels = launcher.keep(_levels(spec, self._dtype))
        self._call = lru_cache(maxsize=16)(self._fresh_call)
        self._placement = lru_cache(maxsize=64)(self.placement)

    def enqueue(self, images: Sequence[DeviceImage], tensor: int, stream: Any) -> list[Letterbox]:
        """Write the network's input for a batch.

        Args:
            images: of any sizes and encodings.
            tensor: address of [len(images), 3, height, width]; all of it is written.
            stream: in which the kernel runs; it reads the images and does not wait.

        Returns:
            Where each image was placed.

        Raises:
            ValueError: an encoding is none of `DEVICE_ENCODINGS`.
        """
        width, height = self._spec.size
        image_bytes = 3 * width * height * self._dtype.itemsize
        for start in range(0, len(images), MOST_IMAGES):
            part = tuple(images[start : start + MOST_IMAGES])
            grid = (blocks(width, _COLUMNS), blocks(height, _ROWS), len(part))
            call = self._call(part, tensor + start * image_bytes)
            self._launcher.launch(
                'letterbox', self._kernel, grid, (_COLUMNS, _ROWS, 1), call, stream
            )
        return [self._placement((image.width, image.height)) for image in images]

    def placement(self, source: tuple[int, int]) -> Letterbox:
        """Where an image of `source` (width, height) is placed."""
        spec = self._spec
        return Letterbox.fit(source, spec.size, spec.resize, spec.pad, spec.shorter_side)

    def _fresh_call(self, images: tuple[DeviceImage, ...], tensor: int) -> np.void:
        call = blank(CALL)
        width, height = self._spec.size
        rgb = self._spec.color_order == 'rgb'
        fill(call, {'tensor': tensor, 'levels': self._levels, 'width': width, 'height': height})
        call['rgb'] = rgb
        for record, image in zip(call['images'], images, strict=False):
            encoding = _ENCODINGS.get(image.encoding)
            if encoding is None:
                raise ValueError(f'the kernel does not read {image.encoding!r}')
            fill(record['pixels'], encoding.pixels(image))
            placed = self.placement((image.width, image.height))
            # In this order OpenCV rounds too.
            step_x, step_y = (1.0 / scale for scale in placed.scale)
            fill(record, {'step_x': step_x, 'step_y': step_y})
            (left, top), (columns, rows) = placed.offset, placed.resized
            fill(record, {'left': left, 'top': top, 'columns': columns, 'rows': rows})
        return call


def _levels(spec: InputSpec, dtype: np.dtype[Any]) -> NDArray[Any]:
    """[3, 257]: what `Preprocessor` makes of each grey level in each channel, and the padding."""
    if dtype not in (np.float32, np.float16, np.uint8):
        raise ValueError(f'network inputs are float32, float16 or uint8, not {dtype}')
    if dtype == np.uint8 and (any(spec.mean) or set(spec.scale) != {1.0}):
        raise ValueError(f'uint8 input with mean {spec.mean} and scale {spec.scale}')
    mean, scale = np.array(spec.mean)[:, None], np.array(spec.scale)[:, None]
    exact = (np.arange(256) - mean) * scale
    table = np.empty((3, 257), dtype)
    table[:, :256] = exact
    table[:, 256] = exact[:, spec.pad_value]
    if dtype == np.float32:
        # There pixels are computed in float32, step by step, and the padding is not.
        narrow = np.arange(256, dtype=np.float32) - mean.astype(np.float32)
        table[:, :256] = narrow * scale.astype(np.float32)
    return table
