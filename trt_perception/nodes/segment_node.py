"""Finds the class or the object of every pixel in the images of a camera."""

from __future__ import annotations

from typing import Any

from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_perception.drawing.masks import color_mask
from trt_perception.drawing.palette import class_colors
from trt_perception.model_spec import Task
from trt_perception.nodes.inference_node import InferenceNode
from trt_perception.nodes.messages import DetectionMessages, image_message
from trt_perception.nodes.parameter_table import SegmentParameters
from trt_perception.nodes.running import run
from trt_perception.nodes.tasks import tasks_of
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import Detections, SegmentationMap


class SegmentNode(InferenceNode[SegmentParameters]):
    """`image` in; masks and latched `~/label_info` out.

    Semantic models: `~/mask` (mono8 class ids, 255 unlabelled) and, while somebody subscribes,
    `~/color_mask` (rgb8). Instance models: `~/detections` and `~/mask` (mono16, value i belongs
    to detections[i-1]), and latched `~/vision_info`.
    """

    TASKS = tasks_of('segment_node')

    def __init__(self, **arguments: Any) -> None:
        """See `PerceptionNode`."""
        self._messages = DetectionMessages()
        self._detections: Publisher | None = None
        self._mask: Publisher | None = None
        self._color_mask: Publisher | None = None
        super().__init__('segment_node', SegmentParameters, **arguments)

    def create_outputs(self, task: Task) -> None:
        """See `InferenceNode`."""
        self._mask = self.output(Image, '~/mask')
        if task == 'semantic':
            self._color_mask = self.output(Image, '~/color_mask')
        else:
            self._detections = self.output(Detection2DArray, '~/detections')
            self.publish_vision_info()

    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish the mask, and what belongs to it."""
        if isinstance(perceived.result, SegmentationMap):
            return self._publish_classes(perceived.result, header)
        assert isinstance(perceived.result, Detections)
        return self._publish_objects(perceived.result, header)

    def _publish_classes(self, result: SegmentationMap, header: Header) -> dict[str, float]:
        assert self.pipeline is not None
        assert self._mask is not None
        assert self._color_mask is not None
        watch = Stopwatch()
        message = image_message(result.class_ids, 'mono8', header)
        watch.lap('message')
        self._mask.publish(message)
        watch.lap('publish')
        if self._color_mask.get_subscription_count():
            colors = color_mask(result.class_ids, class_colors(self.pipeline.spec.classes))
            self._color_mask.publish(image_message(colors, 'rgb8', header))
            watch.lap('color_mask')
        return watch.laps_ms

    def _publish_objects(self, result: Detections, header: Header) -> dict[str, float]:
        assert self._mask is not None
        assert self._detections is not None
        watch = Stopwatch()
        message = self._messages.build(result, self.class_ids, header)
        mask = image_message(result.id_image(), 'mono16', header)
        watch.lap('message')
        self._detections.publish(message)
        self._mask.publish(mask)
        watch.lap('publish')
        return watch.laps_ms


def main() -> int:
    """Run the node until it is told to end."""
    return run(SegmentNode)
