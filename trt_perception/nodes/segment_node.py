"""Finds the class or the object of every pixel in the images of a camera."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_perception.families import Task
from trt_perception.nodes.camera_input import Outputs, Publishing
from trt_perception.nodes.inference_node import InferenceNode
from trt_perception.nodes.serialised import DetectionBytes, image_bytes
from trt_perception.nodes.tasks import tasks_of
from trt_perception.nodes.tracked_parameters import SegmentParameters
from trt_perception.palette import class_colors
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
        super().__init__('segment_node', SegmentParameters, **arguments)

    def outputs_for(self, task: Task, prefix: str) -> Outputs:
        """See `InferenceNode`."""
        return (ClassOutputs if task == 'semantic' else ObjectOutputs)(self, prefix)

    def announce(self, task: Task) -> None:
        """See `InferenceNode`."""
        if task != 'semantic':
            self.publish_vision_info()


class ClassOutputs(Outputs):
    """The class of every pixel in the images of one camera."""

    def __init__(self, node: Publishing, prefix: str) -> None:
        """Create the publishers."""
        self._node = node
        self._mask = node.output(Image, f'{prefix}mask')
        self._color_mask = node.output(Image, f'{prefix}color_mask')

    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish the mask, and in colour where somebody looks."""
        result = perceived.result
        assert isinstance(result, SegmentationMap)
        assert self._node.pipeline is not None
        watch = Stopwatch()
        message = image_bytes(result.class_ids, 'mono8', header)
        watch.lap('message')
        self._mask.publish(message)
        watch.lap('publish')
        if self.wants_pictures:
            colors = result.color_image(class_colors(self._node.pipeline.spec.classes))
            self._color_mask.publish(image_bytes(colors, 'rgb8', header))
            watch.lap('color_mask')
        return watch.laps_ms

    @property
    def wants_pictures(self) -> bool:
        """While somebody subscribes to the mask in colour."""
        return bool(self._color_mask.get_subscription_count())


class ObjectOutputs(Outputs):
    """The objects in the images of one camera, with their pixels."""

    def __init__(self, node: Publishing, prefix: str) -> None:
        """Create the publishers."""
        self._node = node
        self._messages = DetectionBytes()
        self._mask = node.output(Image, f'{prefix}mask')
        self._detections = node.output(Detection2DArray, f'{prefix}detections')

    def publish(self, perceived: Perceived, header: Header) -> dict[str, float]:
        """Publish the objects and the mask that belongs to them."""
        result = perceived.result
        assert isinstance(result, Detections)
        watch = Stopwatch()
        message = self._messages.build(result, self._node.class_ids, header)
        mask = image_bytes(result.id_image(), 'mono16', header)
        watch.lap('message')
        self._detections.publish(message)
        self._mask.publish(mask)
        watch.lap('publish')
        return watch.laps_ms

    @property
    def wants_pictures(self) -> bool:
        """The mask is published with every result."""
        return True
