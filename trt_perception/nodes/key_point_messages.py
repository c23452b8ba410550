"""From key points to messages. Built once a frame, so that it must cost next to nothing."""

from __future__ import annotations

import array
from collections.abc import Sequence
from itertools import chain

import numpy as np
from std_msgs.msg import Header

from trt_perception.model_spec import ModelSpec
from trt_perception.msg import KeyPoint2D, KeyPoints2D, KeyPoints2DArray
from trt_perception.nodes.messages import track_names
from trt_perception.results import Detections


class KeyPointMessages:
    """Builds KeyPoints2DArray messages from the same objects again and again.

    As with `DetectionMessages`, a message is valid until the next one is built: publish it at
    once. Used by one thread at a time.
    """

    def __init__(self, spec: ModelSpec) -> None:
        """Prepare for a model, whose key points may have names and a skeleton."""
        self._names = list(spec.key_points)
        self._skeleton = array.array('H', chain.from_iterable(spec.skeleton))
        self._objects: list[KeyPoints2D] = []

    def build(
        self, detections: Detections, class_ids: Sequence[str], header: Header
    ) -> KeyPoints2DArray:
        """The message of one image's objects.

        Args:
            detections: the objects, with key points.
            class_ids: what `class_id` says of each class of the model.
            header: of the source image.
        """
        key_points = detections.key_points
        if key_points is None:
            key_points = np.zeros((len(detections), 0, 3), np.float32)
        self._grow(len(detections), key_points.shape[1])
        rows = zip(
            self._objects,
            key_points.tolist(),
            detections.scores.tolist(),
            detections.class_ids.tolist(),
            track_names(detections),
            strict=False,  # the kept objects may be more
        )
        for message, points, score, class_id, track in rows:
            message.id = track
            message.class_id = class_ids[class_id]
            message.score = score
            for point, (x, y, confidence) in zip(message.points, points, strict=True):
                point.x = x
                point.y = y
                point.confidence = confidence
        return KeyPoints2DArray(
            header=header,
            names=self._names,
            skeleton=self._skeleton,
            objects=self._objects[: len(detections)],
        )

    def _grow(self, objects: int, points: int) -> None:
        if self._objects and len(self._objects[0].points) != points:
            self._objects.clear()
        while len(self._objects) < objects:
            self._objects.append(KeyPoints2D(points=[KeyPoint2D() for _ in range(points)]))
