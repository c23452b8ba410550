"""Pictures for people: boxes, names, masks and figures drawn over an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.drawing.drawn import DrawnCaption, DrawnClasses, DrawnObjects, Status
from trt_perception.drawing.key_points import draw_key_points
from trt_perception.drawing.masks import blend_masks, blend_semantic
from trt_perception.drawing.plates import PlateBoard, Rect, draw_plate, plate_size
from trt_perception.drawing.style import OverlayStyle
from trt_perception.model_spec import Color
from trt_perception.rotated_boxes import corners_of

Image = NDArray[np.uint8]
_DARK: Color = (18, 22, 28)


def draw_overlay(
    image: Image,
    *,
    objects: DrawnObjects | None = None,
    classes: DrawnClasses | None = None,
    caption: DrawnCaption | None = None,
    status: Status | None = None,
    style: OverlayStyle | None = None,
) -> Image:
    """A copy of `image` with everything drawn that is given and that `style` asks for.

    Args:
        image: uint8 [H, W, 3] BGR, of any size; not changed.
        objects: boxes, names, masks and key points.
        classes: the class of every pixel.
        caption: what the image shows as a whole.
        status: the line at the top.
        style: None for the default.

    Returns:
        uint8 [H, W, 3] BGR.
    """
    style = style or OverlayStyle()
    picture = np.array(image, np.uint8, order='C')
    if classes is not None and style.masks:
        ready = classes.picture
        blend_semantic(picture, classes.class_ids, classes.colors, style.mask_opacity, ready)
    taken = []
    if status is not None and style.status and status.text:
        taken.append(status_rect(picture, status, style))
    if objects is not None:
        draw_detections(picture, objects, style, taken)
    if classes is not None and style.legend:
        draw_legend(picture, classes, style)
    if caption is not None and style.labels:
        draw_caption(picture, caption, style, top=taken[0][3] if taken else 0)
    if taken and status is not None:
        x, y, _, _ = taken[0]
        draw_plate(picture, status.text, (x, y), style.font_px(picture.shape[1]), _DARK, 0.72)
    return picture


def draw_detections(
    image: Image, objects: DrawnObjects, style: OverlayStyle, taken: Sequence[Rect] = ()
) -> None:
    """Draw objects into `image`; the first, of the highest score, lies on top.

    Where objects crowd, a label that finds no free place beside its box is left out.

    Args:
        image: uint8 [H, W, 3] BGR, contiguous; changed in place.
        objects: what to draw.
        style: how.
        taken: where no plates may go.
    """
    height, width = image.shape[:2]
    line = style.line_px(width)
    known = np.asarray(np.isfinite(objects.boxes).all(axis=1))
    boxes = np.where(known[:, None], objects.boxes, 0).clip(-1e6, 1e6).astype(np.float32)
    if objects.masks is not None and style.masks:
        outline = 0 if style.boxes else line
        blend_masks(image, objects.masks, boxes, objects.colors, style.mask_opacity, outline)
    drawn = [index for index in range(len(objects)) if known[index]]
    if style.boxes:
        _draw_boxes(image, objects, boxes, drawn, line)
    if objects.key_points is not None and style.key_points:
        draw_key_points(image, objects.key_points, objects.skeleton, objects.colors, line)
    if not style.labels:
        return
    font_px = style.font_px(width)
    board = PlateBoard((width, height), boxes, taken)
    for index in drawn:
        text = label(objects, index, style)
        corner = board.place(boxes[index], *plate_size(text, font_px))
        if corner is not None:
            draw_plate(image, text, corner, font_px, _rgb(objects.colors[index]))


def label(objects: DrawnObjects, index: int, style: OverlayStyle) -> str:
    """Text of an object's plate, such as 'car 0.93 #7'."""
    parts = [objects.names[index]]
    if style.scores and objects.scores is not None:
        parts.append(f'{float(objects.scores[index]):.2f}')
    if style.track_ids and objects.track_ids is not None and objects.track_ids[index]:
        parts.append(f'#{objects.track_ids[index]}')
    return ' '.join(parts)


def status_rect(image: Image, status: Status, style: OverlayStyle) -> Rect:
    """Where the status line goes."""
    width, height = plate_size(status.text, style.font_px(image.shape[1]))
    margin = style.font_px(image.shape[1]) // 2
    return margin, margin, margin + width, margin + height


def draw_legend(image: Image, classes: DrawnClasses, style: OverlayStyle) -> None:
    """List the classes that occur, in their colours, down the right edge.

    Args:
        image: uint8 [H, W, 3] BGR, changed in place.
        classes: what occurs.
        style: how.
    """
    font_px = style.font_px(image.shape[1])
    margin = font_px // 2
    occurs = np.bincount(classes.class_ids.reshape(-1), minlength=256)[: len(classes.names)]
    y = margin
    for index in np.flatnonzero(occurs):
        width, height = plate_size(classes.names[index], font_px)
        corner = (image.shape[1] - width - margin, y)
        draw_plate(image, classes.names[index], corner, font_px, _rgb(classes.colors[index]), 0.9)
        y += height + margin // 2


def draw_caption(image: Image, caption: DrawnCaption, style: OverlayStyle, top: int = 0) -> None:
    """List what the image shows down its left edge, such as 'cat 0.93'.

    Args:
        image: uint8 [H, W, 3] BGR, changed in place.
        caption: the lines.
        style: how; `scores` adds the figures.
        top: rows that are taken by something else.
    """
    font_px = style.font_px(image.shape[1])
    margin = font_px // 2
    y = top + margin
    for index, name in enumerate(caption.names):
        text = f'{name} {float(caption.scores[index]):.2f}' if style.scores else name
        draw_plate(image, text, (margin, y), font_px, _rgb(caption.colors[index]), 0.9)
        y += plate_size(text, font_px)[1] + margin // 2


def _rgb(color: NDArray[np.uint8]) -> Color:
    red, green, blue = (int(level) for level in color)
    return red, green, blue


def _draw_boxes(
    image: Image,
    objects: DrawnObjects,
    boxes: NDArray[np.float32],
    drawn: Sequence[int],
    line: int,
) -> None:
    """The frames of the objects `drawn`, turned where that is known."""
    corners = None
    if objects.rotated_boxes is not None:
        corners = np.nan_to_num(corners_of(objects.rotated_boxes), posinf=1e5).clip(-1e5, 1e5)
    for index in reversed(drawn):
        color = _rgb(objects.colors[index])
        if corners is None:
            _draw_box(image, boxes[index], color, line)
        else:
            _draw_outline(image, corners[index], color, line)


def _draw_box(image: Image, box: NDArray[np.float32], color: Color, line: int) -> None:
    """A rectangle with rounded corners whose line lies inside the image."""
    height, width = image.shape[:2]
    inset = line / 2
    x1, x2 = np.clip(box[[0, 2]], inset, max(width - inset, inset))
    y1, y2 = np.clip(box[[1, 3]], inset, max(height - inset, inset))
    radius = min(3.0 * line, (x2 - x1) / 4, (y2 - y1) / 4)
    arc = np.linspace(0, np.pi / 2, 5)
    curve = radius * np.stack([1 - np.cos(arc), 1 - np.sin(arc)], axis=1)
    corner = np.array([x1, y1])
    far = np.array([x2, y2])
    points = np.concatenate(
        [
            corner + curve,
            ([x2, y1] + curve * (-1, 1))[::-1],
            far - curve,
            ([x1, y2] + curve * (1, -1))[::-1],
        ]
    )
    _draw_outline(image, points, color, line)


def _draw_outline(image: Image, points: NDArray[Any], color: Color, line: int) -> None:
    """A closed line through points [P, 2] in pixels."""
    # OpenCV's smooth lines come out about twice as wide as asked for, from 2 on.
    # It takes coordinates as whole 1/16 pixels, with pixel centres at whole numbers.
    fixed = np.rint((points - 0.5) * 16).astype(np.int32)
    cv2.polylines(image, [fixed], True, color[::-1], (line + 1) // 2, cv2.LINE_AA, 4)
