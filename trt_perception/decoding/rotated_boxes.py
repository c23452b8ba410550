"""Rotated boxes: centre, extents and angle, from the network's input to the source image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import Candidates
from trt_perception.decoding.objects import FAR
from trt_perception.decoding.rotated_suppression import suppress_rotated
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections


def rotated_objects(
    candidates: Candidates,
    letterbox: Letterbox,
    settings: DecodeSettings,
    *,
    suppressed: bool = True,
    chains: bool = True,
) -> Detections:
    """The oriented objects of one image, by falling score.

    Args:
        candidates: with boxes centre x, centre y, width, height in network pixels, and with the
            angle in radians as their only extra.
        letterbox: how the image was placed in the network's input.
        settings: the threshold of suppression and the greatest number of objects.
        suppressed: whether overlapping boxes of a class are suppressed.
        chains: as of `suppress_rotated`.
    """
    network = np.concatenate([candidates.boxes, candidates.extras], axis=1)
    # NaN compares false, so that candidates with a NaN are left out here too.
    solid = (np.abs(network) <= FAR).all(axis=1) & (network[:, 2:4] > 0).all(axis=1)
    rows = np.flatnonzero(solid)
    rotated = rotated_in_source(network[rows], letterbox)
    boxes = enclosing(rotated, letterbox.source)
    seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    rows, rotated, boxes = rows[seen], rotated[seen], boxes[seen]
    scores, class_ids = candidates.scores[rows], candidates.class_ids[rows]
    if suppressed:
        limit = settings.max_detections
        kept = suppress_rotated(
            network[rows], scores, class_ids, settings.iou, limit, chains=chains
        )
    else:
        kept = np.argsort(-scores, kind='stable')[: settings.max_detections]
    return Detections(
        boxes[kept],
        scores[kept],
        class_ids[kept],
        letterbox.source,
        rotated_boxes=rotated[kept],
    )


def rotated_in_source(rotated: NDArray[np.float32], letterbox: Letterbox) -> NDArray[np.float32]:
    """Rotated boxes in source pixels.

    Where both axes have one scale, this is exact. Under another aspect ratio a rotated rectangle
    becomes a parallelogram; then the result keeps its centre, its longer side and its area.

    Args:
        rotated: float32 [N, 5], centre x, centre y, width, height in network pixels and the angle
            in radians; finite, with widths and heights greater than 0.
        letterbox: how the image was placed in the network's input.

    Returns:
        float32 [N, 5], the angle in -pi/2 .. pi/2; half a turn changes no rectangle.
    """
    boxes = np.asarray(rotated, np.float64)
    across, down = letterbox.scale
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    sides = boxes[:, 2:4] * np.stack(
        [np.hypot(cos / across, sin / down), np.hypot(sin / across, cos / down)], axis=1
    )
    area = boxes[:, 2] * boxes[:, 3] / (across * down)
    wide = sides[:, 0] >= sides[:, 1]
    width = np.where(wide, sides[:, 0], area / sides[:, 1])
    height = np.where(wide, area / sides[:, 0], sides[:, 1])
    # The direction of the x axis of the box; that of its y axis less a quarter turn.
    x = np.where(wide, cos / across, cos / down)
    y = np.where(wide, sin / down, sin / across)
    angle = (np.arctan2(y, x) + np.pi / 2) % np.pi - np.pi / 2
    centre = letterbox.points_to_source(boxes[:, :2])
    return np.column_stack([centre, width, height, angle]).astype(np.float32)


def enclosing(rotated: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """float32 [N, 4], x1 y1 x2 y2 of the boxes around rotated ones, clipped to the image.

    Args:
        rotated: float32 [N, 5], centre x, centre y, width, height, angle in radians.
        size: (width, height) of the image.
    """
    boxes = np.asarray(rotated, np.float64)
    cos, sin = np.abs(np.cos(boxes[:, 4])), np.abs(np.sin(boxes[:, 4]))
    half = np.stack([cos, sin, sin, cos], axis=1) * boxes[:, [2, 3, 2, 3]] / 2
    reach = half[:, ::2] + half[:, 1::2]
    low, high = boxes[:, :2] - reach, boxes[:, :2] + reach
    return np.clip(np.concatenate([low, high], axis=1), 0, size * 2).astype(np.float32)
