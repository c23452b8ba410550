"""From candidates in the network's input to objects in the source image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import Candidates
from trt_perception.decoding.instance_masks import instance_masks, whole_masks
from trt_perception.decoding.key_points import KeyPointShape, key_points_in_source
from trt_perception.decoding.suppression import suppress_usable, with_area
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections

FAR = 1e30
"""Extras and rotated boxes beyond it count as not finite: they are not clipped, and must stay
finite in every later sum."""


def objects(
    candidates: Candidates,
    letterbox: Letterbox,
    settings: DecodeSettings,
    *,
    suppressed: bool = True,
    prototypes: NDArray[Any] | None = None,
    key_points: KeyPointShape | None = None,
    mask_logits: NDArray[Any] | None = None,
) -> Detections:
    """The objects of one image, by falling score.

    Boxes are clipped to the image. Candidates that have no area there or hold a number that is
    not finite are left out, before suppression.

    Args:
        candidates: with boxes x1 y1 x2 y2.
        letterbox: how the image was placed in the network's input.
        settings: the threshold of suppression and the greatest number of objects.
        suppressed: whether overlapping boxes of a class are suppressed.
        prototypes: float [E, h, w], for candidates whose extras are mask coefficients.
        key_points: how the extras of candidates with key points are to be read.
        mask_logits: float [Q, h, w], for candidates whose only extra is which one is theirs.
    """
    boxes = letterbox.to_source(candidates.boxes)
    solid = with_area(boxes) & np.isfinite(candidates.boxes).all(axis=1)
    if candidates.extras.shape[1]:
        solid &= (np.abs(candidates.extras) <= FAR).all(axis=1)
    if not solid.all():
        candidates, boxes = candidates.some(solid), boxes[solid]
    kept = _chosen(candidates, settings, suppressed=suppressed)
    chosen = candidates.some(kept)
    masks = points = None
    if prototypes is not None:
        masks = instance_masks(prototypes, chosen.extras, chosen.boxes, letterbox)
    if mask_logits is not None:
        own = mask_logits[chosen.extras[:, 0].astype(np.intp)]
        masks = whole_masks(own, chosen.boxes, letterbox)
    if key_points is not None:
        points = key_points_in_source(chosen.extras, key_points, letterbox)
    return Detections(
        boxes[kept], chosen.scores, chosen.class_ids, letterbox.source, masks, key_points=points
    )


def _chosen(
    candidates: Candidates, settings: DecodeSettings, *, suppressed: bool
) -> NDArray[np.intp]:
    if not suppressed:
        return np.argsort(-candidates.scores, kind='stable')[: settings.max_detections]
    # What has an area in the image has one in the network's input too: the way keeps the order.
    return suppress_usable(
        candidates.boxes,
        candidates.scores,
        candidates.class_ids,
        settings.iou,
        settings.max_detections,
    )
