"""From masks to what the drawing takes, and the colours of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from trt_perception.drawing.drawn import DrawnClasses, DrawnObjects
from trt_perception.errors import FrameError
from trt_perception.model_spec import Color
from trt_perception.nodes.overlay_objects import Names
from trt_perception.palette import name_color, palette_color
from trt_perception.results import UNLABELLED

Colors = Mapping[str, Color]
"""RGB by class name."""

_MASKS = {'mono8': 1, '8UC1': 1, 'mono16': 2, '16UC1': 2}
"""Bytes per pixel of the encodings that a mask may have."""


def is_instance_mask(message: Image) -> bool:
    """Whether a mask tells objects apart, not classes."""
    return _MASKS.get(message.encoding) == 2


def mask_pixels(message: Image, size: tuple[int, int]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The values of a mask, resized if it is of another size than the picture.

    Args:
        message: mono8 or mono16, of any byte order.
        size: (width, height) of the picture.

    Returns:
        uint8 or uint16 [H, W].

    Raises:
        FrameError: it is of another encoding, empty, or shorter than it says.
    """
    sample = _MASKS.get(message.encoding)
    if sample is None:
        raise FrameError(
            'unknown_encoding',
            f'a mask is {message.encoding!r}; it must be one of: {", ".join(_MASKS)}',
        )
    height, width, step = message.height, message.width, message.step
    if not height or not width:
        raise FrameError('empty', 'a mask has no pixels')
    if step < width * sample or len(message.data) < step * (height - 1) + width * sample:
        raise FrameError(
            'short_data',
            f'a mask of {width}x{height} pixels in {message.encoding} has {len(message.data)} '
            f'bytes in rows of {step}',
        )
    order = '>' if message.is_bigendian else '<'
    pixels = np.ndarray(
        (height, width), f'{order}u{sample}', np.frombuffer(message.data, np.uint8), 0,
        (step, sample),
    )  # fmt: skip
    native = np.ascontiguousarray(pixels, f'=u{sample}')
    if (width, height) != size:
        native = np.asarray(cv2.resize(native, size, interpolation=cv2.INTER_NEAREST))
    return native


def bounded(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N, 4] with numbers that are finite and fit an integer; wrong boxes become empty."""
    known = np.isfinite(boxes).all(axis=1, keepdims=True)
    return np.where(known, boxes, 0).clip(-1e6, 1e6).astype(np.float32)


def drawn_classes(
    pixels: NDArray[np.uint8], names: Names, color_of: Callable[[str], Color]
) -> DrawnClasses:
    """The class of every pixel with names and colours; ids without a name are numbered."""
    count = max(names, default=-1) + 1 or 255
    listed = [names.get(index, f'class {index}') for index in range(count)]
    colors = [
        color_of(names[index]) if index in names else palette_color(index) for index in range(count)
    ]
    return DrawnClasses(pixels, listed, np.array(colors, np.uint8))


def without_named(classes: DrawnClasses, objects: DrawnObjects | None) -> DrawnClasses:
    """Only the classes that no object bears, for a legend beside the objects' plates."""
    named = set(objects.names if objects is not None else ())
    table = np.arange(256, dtype=np.uint8)
    table[[index for index, name in enumerate(classes.names) if name in named]] = UNLABELLED
    return replace(classes, class_ids=np.asarray(cv2.LUT(classes.class_ids, table), np.uint8))


def color_chooser(known: Colors) -> Callable[[str], Color]:
    """Gives the RGB of any class name: the known one, else one of its own."""
    return lambda name: known.get(name) or name_color(name)
