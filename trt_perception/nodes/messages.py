"""From results to messages. Built once a frame, so that it must cost next to nothing."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    Classification,
    Detection2D,
    Detection2DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Pose2D,
    VisionClass,
    VisionInfo,
)

from trt_perception.model_spec import ModelSpec
from trt_perception.msg import Embeddings
from trt_perception.nodes.reports import Engine
from trt_perception.results import Classification as ClassificationResult
from trt_perception.results import DecodeSettings, Detections

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Of what holds for all results, such as LabelInfo: who subscribes later gets it as well."""

_CHANNELS = {'mono8': 1, 'mono16': 1, 'rgb8': 3, 'bgr8': 3}


class DetectionMessages:
    """Builds Detection2DArray messages from the same Detection2D objects again and again.

    One Detection2D is a dozen nested Python objects, and making them costs 15 times as much as
    filling them in. So a message is valid until the next one is built: publish it at once.
    Used by one thread at a time.
    """

    def __init__(self) -> None:
        """Start with none; as many are kept as the fullest image needed."""
        self._messages: list[Detection2D] = []
        self._parts: list[tuple[Detection2D, Pose2D, BoundingBox2D, ObjectHypothesis]] = []

    def build(
        self, detections: Detections, class_ids: Sequence[str], header: Header
    ) -> Detection2DArray:
        """The message of one image's objects.

        Args:
            detections: the objects.
            class_ids: what `hypothesis.class_id` says of each class of the model.
            header: of the source image; goes into the array and every object.
        """
        self._grow(len(detections))
        rows = zip(
            self._parts,
            poses_of(detections),
            detections.scores.tolist(),
            [class_ids[index] for index in detections.class_ids.tolist()],
            track_names(detections),
            strict=False,  # the kept objects may be more
        )
        for (message, center, box, hypothesis), (x, y, w, h, theta), score, name, track in rows:
            message.header = header
            message.id = track
            center.position.x = x
            center.position.y = y
            center.theta = theta
            box.size_x = w
            box.size_y = h
            hypothesis.class_id = name
            hypothesis.score = score
        return Detection2DArray(header=header, detections=self._messages[: len(detections)])

    def _grow(self, count: int) -> None:
        while len(self._messages) < count:
            message = Detection2D(results=[ObjectHypothesisWithPose()])
            box = message.bbox
            self._messages.append(message)
            self._parts.append((message, box.center, box, message.results[0].hypothesis))


def poses_of(detections: Detections) -> list[list[float]]:
    """Centre x, centre y, width, height, theta of each object, in the picture's pixels.

    vision_msgs leaves the sign of theta to the axes; here, as in the image, x points to the right
    and y down, and theta turns x towards y.
    """
    if detections.rotated_boxes is not None:
        turned: list[list[float]] = detections.rotated_boxes.astype(np.float64).tolist()
        return turned
    corners = detections.boxes.astype(np.float64)
    poses = np.zeros((len(detections), 5))
    poses[:, :2] = (corners[:, :2] + corners[:, 2:]) / 2
    poses[:, 2:4] = corners[:, 2:] - corners[:, :2]
    upright: list[list[float]] = poses.tolist()
    return upright


def track_names(detections: Detections) -> list[str]:
    """The id of each object as text, '' where it is untracked."""
    if detections.track_ids is None:
        return [''] * len(detections)
    return ['' if track < 0 else str(track) for track in detections.track_ids.tolist()]


def image_message(pixels: NDArray[Any], encoding: str, header: Header) -> Image:
    """An image message with one copy of the pixels.

    Args:
        pixels: [H, W] uint8 for mono8, uint16 for mono16; [H, W, 3] uint8 for rgb8 and bgr8.
        encoding: one of these.
        header: of the source image.
    """
    flat, step = pixel_bytes(pixels, encoding)
    height, width = pixels.shape[:2]
    data = array.array('B')  # of this very type, else the setter looks at every element
    data.frombytes(flat)
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=step,
        data=data,
    )


def pixel_bytes(pixels: NDArray[Any], encoding: str) -> tuple[memoryview, int]:
    """The pixels as little-endian bytes, without a copy where they lie so; and bytes in a row."""
    little_endian = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder('<'))
    flat = little_endian.reshape(-1).view(np.uint8) if little_endian.size else np.empty(0, 'u1')
    step = pixels.shape[1] * _CHANNELS[encoding] * pixels.dtype.itemsize
    return memoryview(np.ascontiguousarray(flat)), step


def classification_message(
    result: ClassificationResult, class_ids: Sequence[str], header: Header
) -> Classification:
    """What the image shows, the most likely class first.

    Args:
        result: classes and scores.
        class_ids: what `class_id` says of each class of the model.
        header: of the source image.
    """
    pairs = zip(result.class_ids.tolist(), result.scores.tolist(), strict=True)
    return Classification(
        header=header,
        results=[ObjectHypothesis(class_id=class_ids[i], score=score) for i, score in pairs],
    )


def embeddings_message(vectors: NDArray[np.float32], header: Header) -> Embeddings:
    """What objects look like.

    Args:
        vectors: float32 [N, D], of length 1 each.
        header: of the source image.
    """
    values = array.array('f')
    values.frombytes(np.ascontiguousarray(vectors, np.float32).tobytes())
    return Embeddings(header=header, size=vectors.shape[1], values=values)


def label_info_message(spec: ModelSpec, threshold: float, header: Header) -> LabelInfo:
    """What the class ids in masks (and `class_id: index`) mean."""
    classes = [
        VisionClass(class_id=index, class_name=name) for index, name in enumerate(spec.class_names)
    ]
    return LabelInfo(header=header, class_map=classes, threshold=threshold)


def label_threshold(spec: ModelSpec, settings: DecodeSettings) -> float:
    """The score below which nothing is published; 0 where a model has no such threshold."""
    return 0.0 if spec.task == 'semantic' else settings.score


def vision_info_message(
    spec: ModelSpec, engine: Engine, label_topic: str, header: Header
) -> VisionInfo:
    """What looks at the images.

    `method` is the decoder's family, the backend and the precision, such as
    'yolov8 onnxruntime-cpu fp32'; for an engine followed by how well it agrees with the float32
    network. `database_location` is the topic that maps class ids to names.
    `database_version` stays 0: the classes of a model never change.
    """
    agreement = f' ({engine.verified})' if engine.verified else ''
    return VisionInfo(
        header=header,
        method=f'{spec.family} {engine.backend} {engine.precision}{agreement}',
        database_location=label_topic,
        database_version=0,
    )
