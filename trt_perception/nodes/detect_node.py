"""Detects objects in the images of cameras, with their key points, angles and embeddings."""

from __future__ import annotations

from typing import Any

from rclpy.publisher import Publisher
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_perception.families import Task
from trt_perception.msg import Embeddings, KeyPoints2DArray
from trt_perception.nodes.camera_input import Outputs, Publishing
from trt_perception.nodes.inference_node import InferenceNode
from trt_perception.nodes.key_point_messages import KeyPointMessages
from trt_perception.nodes.messages import embeddings_message
from trt_perception.nodes.serialised import DetectionBytes
from trt_perception.nodes.tasks import tasks_of
from trt_perception.nodes.tracked_parameters import DetectParameters
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import Detections


class DetectNode(InferenceNode[DetectParameters]):
    """`image` in; `~/detections`, latched `~/vision_info` and `~/label_info` out.

    Pose and face models: `~/key_points` besides. Oriented boxes have their angle in
    `bbox.center.theta`. `~/embeddings` follow where something makes them.
    """

    TASKS = tasks_of('detect_node')

    def __init__(self, **arguments: Any) -> None:
        """See `PerceptionNode`."""
        super().__init__('detect_node', DetectParameters, **arguments)

    def outputs_for(self, task: Task, prefix: str) -> Outputs:
        """See `InferenceNode`."""
        return DetectOutputs(self, task, prefix)

    def announce(self, task: Task) -> None:
        """See `InferenceNode`."""
        self.publish_vision_info()


class DetectOutputs(Outputs):
    """The objects in the images of one camera."""

    def __init__(self, node: Publishing, task: Task, prefix: str) -> None:
        """Create the publishers."""
        assert node.pipeline is not None
        self._node = node
        self._messages = DetectionBytes()
        self._detections = node.output(Detection2DArray, f'{prefix}detections')
        self._embeddings = node.output(Embeddings, f'{prefix}embeddings')
        self._key_points: Publisher | None = None
        self._key_point_messages: KeyPointMessages | None = None
        if task in ('pose', 'face'):
            self._key_point_messages = KeyPointMessages(node.pipeline.spec)
            self._key_points = node.output(KeyPoints2DArray, f'{prefix}key_points')

    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish the objects, or that there are none."""
        found = perceived.result
        assert isinstance(found, Detections)
        watch = Stopwatch()
        message = self._messages.build(found, self._node.class_ids, header)
        points = None
        if self._key_point_messages is not None:
            points = self._key_point_messages.build(found, self._node.class_ids, header)
        watch.lap('message')
        self._detections.publish(message)
        if points is not None and self._key_points is not None:
            self._key_points.publish(points)
        if found.embeddings is not None:
            self._embeddings.publish(embeddings_message(found.embeddings, header))
        watch.lap('publish')
        return watch.laps_ms
