"""The colours of classes, and maps of classes in them."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.model_spec import ClassSpec, Color

# The first seven keep apart for all common kinds of colour blindness: M. Okabe and K. Ito,
# "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/
_FIRST: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
_MOST_CLASSES = 255
"""An id is a byte, and the last one is that of no class."""

_GOLDEN_RATIO = 0.618033988749895
_LEVELS = ((0.62, 0.85), (0.45, 0.75), (0.75, 0.65))


def palette_color(index: int) -> Color:
    """RGB of the class number `index`, 0 or more; the same for ever.

    After the first seven the hue advances by the golden ratio, which keeps any run of
    neighbours well apart, and lightness takes turns.
    """
    if index < len(_FIRST):
        return _FIRST[index]
    beyond = index - len(_FIRST)
    lightness, saturation = _LEVELS[beyond % len(_LEVELS)]
    red, green, blue = colorsys.hls_to_rgb(
        (0.02 + beyond * _GOLDEN_RATIO) % 1.0, lightness, saturation
    )
    return round(red * 255), round(green * 255), round(blue * 255)


def name_color(name: str) -> Color:
    """RGB for a class of which only the name is known: the same for the same name."""
    return palette_color(zlib.crc32(name.encode()) % 64)


def class_colors(classes: Sequence[ClassSpec]) -> NDArray[np.uint8]:
    """uint8 [N, 3] RGB, not to be written to: what the model states, else of the palette."""
    return _colors_of(tuple(classes))


@lru_cache(maxsize=64)
def _colors_of(classes: tuple[ClassSpec, ...]) -> NDArray[np.uint8]:
    colors = [c.color or palette_color(index) for index, c in enumerate(classes)]
    made = np.array(colors, np.uint8).reshape(-1, 3)
    made.flags.writeable = False
    return made


def color_table(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [256, 3]: the colour of each class id; black for 255, and where none is given.

    Args:
        colors: uint8 [N, 3], one per class.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: min(len(colors), _MOST_CLASSES)] = colors[:_MOST_CLASSES]
    return table


def color_mask(class_ids: NDArray[np.uint8], colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class of each pixel as a colour, by `color_table`.

    Args:
        class_ids: uint8 [H, W], 255 unlabelled.
        colors: uint8 [N, 3], one per class.

    Returns:
        uint8 [H, W, 3], channels in the order of `colors`.
    """
    if class_ids.size == 0:
        return np.zeros((*class_ids.shape, 3), np.uint8)
    table = color_table(colors)[:, None]
    return np.asarray(cv2.applyColorMap(np.ascontiguousarray(class_ids), table), np.uint8)
