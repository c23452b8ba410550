"""The cases of decode_time.py: what networks return for a picture with some dozen objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from trt_perception.families import Task

FULL_HD = (1920, 1080)
OBJECTS = 30
PER_OBJECT = 10
"""Anchors around each object that score high enough."""

Outputs = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: of the row; begins with the family.
        family, task, classes, size, resize, options: of the model.
        outputs: makes the raw outputs of one image with a random generator.
        candidates: how many of them reach the score threshold.
    """

    name: str
    family: str
    task: Task
    outputs: Outputs
    candidates: int = OBJECTS * PER_OBJECT
    classes: int = 80
    size: tuple[int, int] = (640, 640)
    resize: Literal['letterbox', 'stretch', 'centre_crop'] = 'letterbox'
    options: dict[str, Any] = field(default_factory=dict)


def places(rng: Any, count: int, per_object: int = PER_OBJECT) -> Any:
    """float64 [count, 4], centre x, centre y, width, height within a 16:9 picture in 640x640."""
    objects = rng.random((count // per_object, 4)) * (600, 320, 120, 120) + (20, 160, 24, 24)
    jitter = rng.normal(0, 0.05, (count, 4)) * 60
    return np.abs(np.repeat(objects, per_object, axis=0) + jitter)


def rows(
    rng: Any,
    anchors: int,
    classes: int,
    extras: int = 0,
    *,
    objectness: bool = False,
    per_object: int = PER_OBJECT,
    spread: float = 1.0,
) -> Any:
    """float64 [anchors, 4 + objectness + classes + extras]; few of them are candidates."""
    count = OBJECTS * per_object
    found = np.zeros((anchors, 4 + objectness + classes + extras))
    found[:, :4] = rng.random((anchors, 4)) * 600 + 20
    found[:, 4 : 4 + objectness + classes] = rng.random((anchors, objectness + classes)) * 0.1
    chosen = rng.permutation(anchors)[:count]
    found[chosen, :4] = places(rng, count, per_object)
    class_id = np.repeat(rng.integers(0, classes, OBJECTS), per_object)
    found[chosen, 4 + objectness + class_id] = rng.uniform(0.6, 0.99, count)
    if objectness:
        found[chosen, 4] = rng.uniform(0.6, 0.99, count)
    found[:, 4 + objectness + classes :] = rng.normal(0, spread, (anchors, extras))
    return found


def prototypes(rng: Any) -> Any:
    """float32 [1, 32, 160, 160], smooth."""
    coarse = rng.normal(0, 1, (32, 20, 20))
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)[None].astype(np.float32)


def single(name: str, array: Any) -> dict[str, Any]:
    return {name: np.ascontiguousarray(array[None], dtype=np.float32)}


def dense8(extras: int = 0, classes: int = 80, **options: Any) -> Outputs:
    """YOLOv8's layout, [1, 4 + classes + extras, 8400]."""

    def outputs(rng: Any) -> dict[str, Any]:
        found = single('output0', rows(rng, 8400, classes, extras, **options).T)
        return found | ({'output1': prototypes(rng)} if extras == 32 else {})

    return outputs


def dense5(anchors: int = 25200, extras: int = 0) -> Outputs:
    """YOLOv5's layout, [1, anchors, 5 + classes + extras]."""

    def outputs(rng: Any) -> dict[str, Any]:
        found = single('output0', rows(rng, anchors, 80, extras, objectness=True))
        return found | ({'output1': prototypes(rng)} if extras else {})

    return outputs


def yolox(rng: Any) -> dict[str, Any]:
    """Relative to cells: every box spans some of them."""
    found = rows(rng, 8400, 80, objectness=True)
    found[:, :2] = rng.random((8400, 2))
    found[:, 2:4] = rng.random((8400, 2)) * 2
    return single('output', found)


def chosen6(extras: int = 0) -> Outputs:
    """The layout of YOLOv10, [1, 300, 6 + extras], of which `OBJECTS` score."""

    def outputs(rng: Any) -> dict[str, Any]:
        found = np.zeros((300, 6 + extras))
        boxes = places(rng, 300, 1)
        half = boxes[:, 2:] / 2
        corners = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
        found[:, :4] = boxes if extras == 1 else corners
        found[:, 4] = np.where(np.arange(300) < OBJECTS, 0.8, 0.1)
        found[:, 6:] = rng.normal(0, 1, (300, extras))
        array = single('output0', found)
        return array | ({'output1': prototypes(rng)} if extras == 32 else {})

    return outputs


def end_to_end(rng: Any) -> dict[str, Any]:
    found = chosen6()(rng)['output0']
    return {
        'num_dets': np.array([[OBJECTS]], np.int32),
        'det_boxes': found[:, :100, :4].copy(),
        'det_scores': found[:, :100, 4].copy(),
        'det_classes': np.zeros((1, 100), np.int32),
    }


CASES = [
    Case('yolov5 detect', 'yolov5', 'detect', dense5()),
    Case('yolov5 instance', 'yolov5', 'instance', dense5(extras=32)),
    Case('yolov7 end to end', 'yolov7', 'detect', end_to_end, OBJECTS),
    Case('yolox detect', 'yolox', 'detect', yolox),
    Case('yolov8 detect', 'yolov8', 'detect', dense8()),
    Case('yolov8 detect, 3000 candidates', 'yolov8', 'detect', dense8(per_object=100), 3000),
    Case('yolov8 instance', 'yolov8', 'instance', dense8(32)),
    Case('yolov8 pose', 'yolov8', 'pose', dense8(51, 1, spread=100.0), classes=1),
    Case('yolov8 oriented', 'yolov8', 'oriented', dense8(1, 15), classes=15),
    Case(
        'yolov8 oriented, 3000 candidates',
        'yolov8',
        'oriented',
        dense8(1, 15, per_object=100),
        3000,
        15,
    ),
    Case('yolov10 detect', 'yolov10', 'detect', chosen6(), OBJECTS),
    Case('yolov10 instance', 'yolov10', 'instance', chosen6(32), OBJECTS),
    Case('yolov10 pose', 'yolov10', 'pose', chosen6(51), OBJECTS, 1),
    Case('yolov10 oriented', 'yolov10', 'oriented', chosen6(1), OBJECTS, 15),
]
"""The table; add the rows of other families below these."""
