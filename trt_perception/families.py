"""The families of models: what each one is for, and what its models want of their input."""

from __future__ import annotations

from typing import Any, Literal

Task = Literal['detect', 'instance', 'semantic', 'pose', 'oriented', 'face', 'classify', 'embed']
"""What a model is for."""

FAMILIES: dict[str, tuple[Task, ...]] = {
    'yolov5': ('detect', 'instance'),
    'yolov7': ('detect',),
    'yolov8': ('detect', 'instance', 'pose', 'oriented'),
    'yolov10': ('detect', 'instance', 'pose', 'oriented'),
    'yolox': ('detect',),
    'efficient_nms': ('detect',),
    'rtdetr': ('detect',),
    'detr': ('detect',),
    'rfdetr': ('detect', 'instance'),
    'ssd': ('detect',),
    'retinanet': ('detect',),
    'retinaface': ('face',),
    'scrfd': ('face',),
    'arcface': ('embed',),
    'semantic': ('semantic',),
    'classify': ('classify',),
}
"""The decoder families and the tasks that each one serves."""

OTHER_NAMES = {'yolov9': 'yolov8', 'yolo11': 'yolov8', 'yolo12': 'yolov8', 'yolo26': 'yolov10'}
"""Models that have the outputs of a family, and so may stand for its name."""

NUMBERS_CLASSES = frozenset({'yolov10', 'efficient_nms', 'detr'})
"""Families whose networks write the number of an object's class, not a score for each class."""

_IMAGENET: dict[str, Any] = {
    'mean': (123.675, 116.28, 103.53),
    'scale': (1 / 58.395, 1 / 57.12, 1 / 57.375),
}
"""Mean and inverse standard deviation of ImageNet's pixels, red first."""

FAMILY_INPUTS: dict[str, dict[str, Any]] = {
    'yolox': {'color_order': 'bgr', 'scale': 1.0, 'pad': 'bottom_right'},
    'rtdetr': {'resize': 'stretch'},
    'detr': {'resize': 'stretch'},
    'rfdetr': {**_IMAGENET, 'resize': 'stretch'},
    'retinanet': {**_IMAGENET, 'pad': 'bottom_right'},
    'retinaface': {'color_order': 'bgr', 'mean': (104.0, 117.0, 123.0), 'scale': 1.0},
    'scrfd': {'mean': 127.5, 'scale': 1 / 128, 'pad': 'bottom_right'},
    'arcface': {'mean': 127.5, 'scale': 1 / 127.5, 'resize': 'stretch'},
    'classify': {**_IMAGENET, 'resize': 'centre_crop'},
}
"""What a family's models want of their input where neither YAML nor metadata say otherwise."""

OPEN_INPUT = frozenset({'semantic', 'classify', 'ssd', 'retinanet'})
"""Families whose models are trained with one normalisation or another: the file must say it."""

FACE_POINTS = ('left eye', 'right eye', 'nose', 'left mouth corner', 'right mouth corner')
"""Key points of faces as RetinaFace and SCRFD order them, left and right as in the picture."""

BODY_POINTS = (
    *('nose', 'left eye', 'right eye', 'left ear', 'right ear', 'left shoulder', 'right shoulder'),
    *('left elbow', 'right elbow', 'left wrist', 'right wrist', 'left hip', 'right hip'),
    *('left knee', 'right knee', 'left ankle', 'right ankle'),
)
"""Key points of persons in the order of the COCO data set."""

BODY_SKELETON = (
    *((5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15)),
    *((12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4)),
)
"""Pairs of `BODY_POINTS` that are joined by lines."""
