"""What a node would publish, for a bag in place of the network.

The node's own publishing code runs, with this in the node's place. No node, no context and no
middleware is needed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from trt_perception.frames import Frame
from trt_perception.nodes.camera_topics import private_prefix
from trt_perception.nodes.classify_node import ClassifyNode
from trt_perception.nodes.detect_node import DetectNode
from trt_perception.nodes.messages import (
    label_info_message,
    label_threshold,
    vision_info_message,
)
from trt_perception.nodes.recorder import type_name
from trt_perception.nodes.reports import engine_of
from trt_perception.nodes.segment_node import SegmentNode
from trt_perception.nodes.tasks import SERVED_BY
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.sources.bag_writer import BagMessage

_NODES: dict[str, Any] = {
    'detect_node': DetectNode,
    'segment_node': SegmentNode,
    'classify_node': ClassifyNode,
}
_NS = 10**9


class RecordedOutputs:
    """Stands where a node stands for its outputs. See `Publishing`.

    Attributes:
        pipeline: the model.
        class_ids: what `hypothesis.class_id` says of each class: its name.
    """

    def __init__(self, pipeline: PerceptionPipeline, cameras: Sequence[str]) -> None:
        """Prepare for cameras of these names, '' for an only one."""
        self.pipeline: PerceptionPipeline | None = pipeline
        self.class_ids = pipeline.spec.class_names
        self._model = pipeline
        self._node = SERVED_BY[pipeline.spec.task]
        self._taken: list[BagMessage] = []
        kind, task = _NODES[self._node], pipeline.spec.task
        self._outputs = {
            camera: kind.outputs_for(self, task, private_prefix(camera)) for camera in cameras
        }
        pipeline.pictures = any(outputs.wants_pictures for outputs in self._outputs.values())

    def output(self, kind: type, topic: str, profile: object = None) -> RecordedPublisher:
        """Stands for a publisher; `profile` is the bag's."""
        return RecordedPublisher(self._taken, kind, self._resolved(topic))

    def latched(self, frame: Frame) -> list[BagMessage]:
        """~/label_info, and ~/vision_info where the node has it; stamped as the frame."""
        spec, header = self._model.spec, Header(stamp=_time(frame))
        labels = self._resolved('~/label_info')
        threshold = label_threshold(spec, self._model.settings)
        messages = [_serialised(labels, label_info_message(spec, threshold, header))]
        if spec.task != 'semantic':
            info = vision_info_message(spec, engine_of(self._model), labels, header)
            messages.append(_serialised(self._resolved('~/vision_info'), info))
        return messages

    def results(self, camera: str, perceived: Perceived, frame: Frame) -> list[BagMessage]:
        """What the node would publish for a frame of the camera."""
        self._taken.clear()
        header = Header(stamp=_time(frame), frame_id=frame.frame_id)
        self._outputs[camera].publish(perceived, header)
        return list(self._taken)

    def clock(self, frame: Frame) -> BagMessage:
        """/clock with the frame's stamp."""
        return _serialised('/clock', Clock(clock=_time(frame)))

    def _resolved(self, topic: str) -> str:
        return topic.replace('~', f'/{self._node}', 1)


class RecordedPublisher:
    """Stands where a publisher stands: keeps what is published."""

    def __init__(self, taken: list[BagMessage], kind: type, topic: str) -> None:
        """Keep the messages of one topic in `taken`."""
        self._taken = taken
        self._type_name = type_name(kind)
        self._topic = topic

    def publish(self, message: Any) -> None:
        """Take a message, or one that is serialised already."""
        cdr = message if isinstance(message, bytes) else serialize_message(message)
        self._taken.append(BagMessage(self._topic, self._type_name, cdr))

    def get_subscription_count(self) -> int:
        """Nobody looks on: what is made for onlookers only is left out."""
        return 0


def recorded_outputs(pipeline: PerceptionPipeline, cameras: Sequence[str]) -> RecordedOutputs:
    """See `RecordedOutputs`; a function, so that it can be named to another process."""
    return RecordedOutputs(pipeline, cameras)


def _serialised(topic: str, message: Any) -> BagMessage:
    return BagMessage(topic, type_name(type(message)), serialize_message(message))


def _time(frame: Frame) -> Time:
    seconds, nanoseconds = divmod(frame.stamp_ns, _NS)
    return Time(sec=seconds, nanosec=nanoseconds)
