"""Detects objects in the images of a camera."""

from __future__ import annotations

from typing import Any

from rclpy.publisher import Publisher
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_perception.model_spec import Task
from trt_perception.nodes.inference_node import InferenceNode
from trt_perception.nodes.messages import DetectionMessages
from trt_perception.nodes.parameter_table import DetectParameters
from trt_perception.nodes.running import run
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import Detections


class DetectNode(InferenceNode[DetectParameters]):
    """`image` in; `~/detections`, latched `~/vision_info` and `~/label_info` out."""

    TASKS = ('detect',)

    def __init__(self, **arguments: Any) -> None:
        """See `PerceptionNode`."""
        self._messages = DetectionMessages()
        self._detections: Publisher | None = None
        super().__init__('detect_node', DetectParameters, **arguments)

    def create_outputs(self, task: Task) -> None:
        """See `InferenceNode`."""
        self._detections = self.output(Detection2DArray, '~/detections')
        self.publish_vision_info()

    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish the objects, or that there are none."""
        assert self._detections is not None
        assert isinstance(perceived.result, Detections)
        watch = Stopwatch()
        message = self._messages.build(perceived.result, self.class_ids, header)
        watch.lap('message')
        self._detections.publish(message)
        watch.lap('publish')
        return watch.laps_ms


def main() -> int:
    """Run the node until it is told to end."""
    return run(DetectNode)
