"""Masks and maps of classes blended into pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.palette import color_mask
from trt_perception.results import UNLABELLED, InstanceMask

Image = NDArray[np.uint8]
Colors = NDArray[np.uint8]
"""uint8 [N, 3] RGB, one per class or per object."""
Masks = NDArray[np.uint16] | Sequence[InstanceMask]
"""Either an image of the size of the picture, in which value i belongs to object i-1, or cuts."""


def blend_semantic(
    image: Image, class_ids: Image, colors: Colors, opacity: float, picture: Image | None = None
) -> None:
    """Tint each pixel with the colour of its class; unlabelled ones stay as they are.

    Args:
        image: uint8 [H, W, 3] BGR, changed in place.
        class_ids: uint8 [H, W], 255 unlabelled; resized if of another size.
        colors: uint8 [N, 3] RGB.
        opacity: 0..1.
        picture: uint8 [H, W, 3] RGB, `class_ids` in these colours, where that is there already.
    """
    size = image.shape[1], image.shape[0]
    if class_ids.shape != image.shape[:2]:
        class_ids = np.asarray(cv2.resize(class_ids, size, interpolation=cv2.INTER_NEAREST))
    if picture is not None and picture.shape == image.shape:
        tint = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
    else:
        tint = color_mask(class_ids, colors[:, ::-1])
    tinted = np.asarray(cv2.addWeighted(image, 1 - opacity, tint, opacity, 0), np.uint8)
    cv2.copyTo(tinted, _within(class_ids, 0, min(len(colors), UNLABELLED) - 1), image)


def blend_masks(
    image: Image,
    masks: Masks,
    boxes: NDArray[np.float32],
    colors: Colors,
    opacity: float,
    outline_px: int = 0,
) -> None:
    """Tint each object's pixels with its colour; the first object lies on top.

    Args:
        image: uint8 [H, W, 3] BGR, changed in place.
        masks: of the objects, see `Masks`.
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels; tells where in an id image to look.
        colors: uint8 [N, 3] RGB.
        opacity: 0..1.
        outline_px: width of a line around each mask, 0 for none.
    """
    for index, left, top, bits in _cuts(masks, boxes, (image.shape[1], image.shape[0])):
        rows, columns = bits.shape
        under = image[top : top + rows, left : left + columns]
        bgr = colors[index, ::-1].astype(np.float32)
        levels = np.arange(256, dtype=np.float32)[:, None]
        table = levels + (bgr - levels) * np.float32(opacity)
        tinted = cv2.LUT(under, np.rint(table).astype(np.uint8)[None])
        cv2.copyTo(tinted, bits, under)
        if outline_px:
            contours, _ = cv2.findContours(bits, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            color = tuple(int(level) for level in bgr)
            cv2.drawContours(under, contours, -1, color, outline_px, cv2.LINE_AA)


def _cuts(
    masks: Masks, boxes: NDArray[np.float32], size: tuple[int, int]
) -> Iterator[tuple[int, int, int, NDArray[np.uint8]]]:
    """(object, left, top, uint8 [h, w] of 0 and 255) from the last object to the first."""
    width, height = size
    for index in range(len(boxes) - 1, -1, -1):
        if isinstance(masks, np.ndarray):
            # Rounding may have put a mask's edge a pixel outside its box.
            x1, y1 = (max(0, int(v) - 2) for v in boxes[index, :2])
            x2, y2 = (int(v) + 3 for v in boxes[index, 2:])
            cut = masks[y1 : min(y2, height), x1 : min(x2, width)]
            if cut.size:
                yield index, x1, y1, _within(cut, index + 1, index + 1)
            continue
        mask = masks[index]
        x1, y1 = max(mask.x, 0), max(mask.y, 0)
        rows, columns = max(0, height - mask.y), max(0, width - mask.x)
        bits = mask.bits[y1 - mask.y : rows, x1 - mask.x : columns]
        if bits.size:
            yield index, x1, y1, bits.astype(np.uint8) * np.uint8(255)


def _within(values: NDArray[Any], low: int, high: int) -> NDArray[np.uint8]:
    """uint8, of the shape of `values`: 255 where low <= value <= high, else 0."""
    inside: Any = cv2.inRange(values, np.array(low), np.array(high))
    return np.asarray(inside, np.uint8)
