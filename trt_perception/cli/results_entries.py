"""One frame's entry in `detections.json`. docs/command_line.md describes it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.cli.coco_rle import encode_mask
from trt_perception.errors import FrameError
from trt_perception.frames import Frame
from trt_perception.model_spec import ModelSpec
from trt_perception.results import (
    UNLABELLED,
    Classification,
    Detections,
    Embedding,
    Result,
    SegmentationMap,
)


def entry_of(
    frame: Frame,
    result: Result,
    spec: ModelSpec,
    *,
    name: str,
    mask_file: str | None = None,
) -> dict[str, Any]:
    """One frame and what was found in it.

    Args:
        frame: its stamp and frame_id are noted.
        result: what was found.
        spec: the model.
        name: of the frame.
        mask_file: where the classes of a semantic model's pixels were written.
    """
    width, height = result.size
    entry: dict[str, Any] = {
        'name': name,
        'stamp_ns': frame.stamp_ns,
        'frame_id': frame.frame_id,
        'width': width,
        'height': height,
    }
    if isinstance(result, Detections):
        entry['detections'] = [_detection(result, index, spec) for index in range(len(result))]
    elif isinstance(result, SegmentationMap):
        entry['class_shares'] = _class_shares(result, spec)
        entry['mask_file'] = mask_file
    elif isinstance(result, Classification):
        entry['classes'] = _classes(result, spec)
    elif isinstance(result, Embedding):
        entry['embedding'] = _rounded(result.vector, 6)
    return entry


def refused_entry(frame: Frame, error: FrameError, *, name: str) -> dict[str, Any]:
    """One frame that could not be used."""
    return {
        'name': name,
        'stamp_ns': frame.stamp_ns,
        'frame_id': frame.frame_id,
        'error': {'cause': error.cause, 'message': str(error)},
    }


def _detection(found: Detections, index: int, spec: ModelSpec) -> dict[str, Any]:
    class_id = int(found.class_ids[index])
    detection: dict[str, Any] = {
        'class_id': class_id,
        'class': spec.class_names[class_id],
        'score': round(float(found.scores[index]), 4),
        'box': _rounded(found.boxes[index], 2),
    }
    if found.rotated_boxes is not None:
        detection['rotated_box'] = _rounded(found.rotated_boxes[index], 4)
    if found.key_points is not None:
        detection['key_points'] = [_rounded(point, 3) for point in found.key_points[index]]
    if found.track_ids is not None and found.track_ids[index] >= 0:
        detection['track_id'] = int(found.track_ids[index])
    if found.masks is not None:
        detection['mask'] = encode_mask(found.masks[index], found.size)
    if found.embeddings is not None:
        detection['embedding'] = _rounded(found.embeddings[index], 6)
    return detection


def _classes(found: Classification, spec: ModelSpec) -> list[dict[str, Any]]:
    """What the image shows, the most likely class first."""
    pairs = zip(found.class_ids.tolist(), found.scores.tolist(), strict=True)
    return [
        {'class_id': class_id, 'class': spec.class_names[class_id], 'score': round(score, 4)}
        for class_id, score in pairs
    ]


def _rounded(values: NDArray[np.float32], digits: int) -> list[float]:
    return [round(value, digits) for value in values.tolist()]


def _class_shares(found: SegmentationMap, spec: ModelSpec) -> dict[str, float]:
    """Share of the pixels of each class that occurs, and of those without a class."""
    counts = np.bincount(found.class_ids.reshape(-1), minlength=256)
    names = {**dict(enumerate(spec.class_names)), UNLABELLED: 'unlabelled'}
    return {
        names[i]: round(float(counts[i]) / found.class_ids.size, 5)
        for i in np.flatnonzero(counts).tolist()
        if i in names
    }
