"""From messages about objects to what the drawing takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from trt_perception.drawing.drawn import DrawnCaption, DrawnObjects
from trt_perception.model_spec import Color
from trt_perception.msg import KeyPoints2DArray
from trt_perception.rotated_boxes import corners_of

Names = Mapping[int, str]
"""Class names by class id."""
CAPTION_LINES = 5
"""At most so many classes of an image are listed."""


def class_names(message: LabelInfo) -> dict[int, str]:
    """What the class ids mean."""
    return {label.class_id: label.class_name for label in message.class_map}


def name_of(class_id: str, names: Names) -> str:
    """The name of a class: `class_id` itself, unless it is an index of which the name is known."""
    if class_id.isdecimal():
        return names.get(int(class_id), class_id)
    return class_id


def drawn_objects(
    message: Detection2DArray,
    names: Names,
    color_of: Callable[[str], Color],
) -> DrawnObjects:
    """Objects with names and colours.

    Args:
        message: what was found. Of several hypotheses the first counts.
        names: of the classes, where the message holds indices.
        color_of: RGB of a class name.
    """
    rows = [
        (
            *(d.bbox.center.position.x, d.bbox.center.position.y),
            *(d.bbox.size_x, d.bbox.size_y, d.bbox.center.theta),
        )
        for d in message.detections
    ]
    turned = np.array(rows, np.float32).reshape(-1, 5)
    hypotheses = [d.results[0].hypothesis if d.results else None for d in message.detections]
    scores = np.array([h.score if h else np.nan for h in hypotheses], np.float32)
    texts = [name_of(h.class_id, names) if h else '' for h in hypotheses]
    upright = not turned[:, 4].any()
    return DrawnObjects(
        _upright(turned) if upright else _enclosing(turned),
        texts,
        np.array([color_of(text) for text in texts], np.uint8).reshape(-1, 3),
        scores,
        [detection.id for detection in message.detections],
        rotated_boxes=None if upright else turned,
    )


def _upright(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N, 5] without angles -> [N, 4] x1 y1 x2 y2."""
    x, y, width, height, _ = boxes.T
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def _enclosing(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N, 5] -> [N, 4], the smallest upright box around each."""
    corners = corners_of(boxes)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def with_key_points(
    objects: DrawnObjects | None,
    message: KeyPoints2DArray,
    names: Names,
    color_of: Callable[[str], Color],
) -> DrawnObjects:
    """The objects with their key points; these alone where the objects are not theirs.

    Args:
        objects: those of the same stamp, in the same order; None where there are none.
        message: the key points.
        names: of the classes, where the message holds indices.
        color_of: RGB of a class name.
    """
    points = key_point_array(message)
    pairs = np.array(message.skeleton, np.int64)
    pairs = pairs[: len(pairs) // 2 * 2].reshape(-1, 2)
    skeleton = [(int(a), int(b)) for a, b in pairs]
    if objects is None or len(objects) != len(points):
        # Without a place, a box and its plate are not drawn.
        texts = [name_of(one.class_id, names) for one in message.objects]
        objects = DrawnObjects(
            np.full((len(points), 4), np.nan, np.float32),
            texts,
            np.array([color_of(text) for text in texts], np.uint8).reshape(-1, 3),
        )
    return replace(objects, key_points=points, skeleton=skeleton)


def key_point_array(message: KeyPoints2DArray) -> NDArray[np.float32]:
    """float32 [N, K, 3]; objects with fewer points than others have some that are not seen."""
    most = max((len(one.points) for one in message.objects), default=0)
    points = np.zeros((len(message.objects), most, 3), np.float32)
    for row, one in zip(points, message.objects, strict=True):
        for place, point in zip(row, one.points, strict=False):
            place[:] = point.x, point.y, point.confidence
    return points


def drawn_caption(
    message: Classification, names: Names, color_of: Callable[[str], Color]
) -> DrawnCaption:
    """The first classes of an image, with colours."""
    first = message.results[:CAPTION_LINES]
    texts = [name_of(hypothesis.class_id, names) for hypothesis in first]
    return DrawnCaption(
        texts,
        np.array([hypothesis.score for hypothesis in first], np.float32),
        np.array([color_of(text) for text in texts], np.uint8).reshape(-1, 3),
    )
