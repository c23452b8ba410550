"""What overlay_node draws: images with the results of the same stamp."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from vision_msgs.msg import Classification, Detection2DArray, LabelInfo

from trt_perception.frames import stamp_ns_of
from trt_perception.msg import KeyPoints2DArray
from trt_perception.nodes.endpoints import SILENT_SUBSCRIPTION, UnheardPublishers
from trt_perception.nodes.frame_subscription import QUIET_S, Arrival, FrameSubscription
from trt_perception.nodes.health import Condition
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.messages import LATCHED
from trt_perception.nodes.overlay_objects import class_names
from trt_perception.nodes.overlay_parameters import OverlayParameters
from trt_perception.pipeline.pairing import Group, StampPairing
from trt_perception.pipeline.statistics import PAUSED

IMAGE = 'image'
RESULTS: Mapping[str, type] = {
    'detections': Detection2DArray,
    'instances': Detection2DArray,
    'instance_mask': Image,
    'mask': Image,
    'key_points': KeyPoints2DArray,
    'classification': Classification,
}
"""The inputs besides the image."""
LABELS = {
    'detections': 'detections_label_info',
    'instances': 'instances_label_info',
    'mask': 'label_info',
    'classification': 'classification_label_info',
}
"""The latched topics with the class names of an input."""
UNPAIRED = 'unpaired'
"""Cause of a drop: the image was given up before its results came, since those of a newer one
came, nobody looks any more, or other results are waited for."""

_UNSTAMPED = 0
"""The stamp of messages that have none: results with it may be those of any image."""

_DEPTH = 5


class OverlayInputs:
    """Subscribes while it is open, and gives images and results of one stamp together.

    For the executor's thread.

    Attributes:
        names: of each input, the names of its classes by index; any thread may read them.
    """

    def __init__(
        self, node: PerceptionNode[OverlayParameters], give: Callable[[Group[Any]], None]
    ) -> None:
        """Subscribe to nothing yet.

        Args:
            node: whose inputs they are; counts the images that come and those that are dropped.
            give: takes each group, which has an image, and must not take long.
        """
        self.names: dict[str, dict[int, str]] = {name: {} for name in LABELS}
        self._node = node
        self._give = give
        self._pairing: StampPairing[Any] = StampPairing(IMAGE, (), timeout_s=0.0)
        self._expected: frozenset[str] = frozenset()
        self._left_out = 0
        self._images: FrameSubscription | None = None
        self._results: list[Subscription] = []
        self._labels: list[Subscription] = []
        self._unheard = UnheardPublishers(node)

    @property
    def is_open(self) -> bool:
        """Whether it subscribes."""
        return self._images is not None

    def check(self) -> None:
        """See whether images can be subscribed to.

        Raises:
            ParameterError: not with these `qos_overrides`.
        """
        self._subscribed_to_images().close()

    def open(self) -> None:
        """Subscribe; to all of it, or with an error to nothing."""
        try:
            for name, kind in RESULTS.items():
                self._results.append(self._subscribed(kind, name, self._taker(name)))
            for name, topic in LABELS.items():
                self._labels.append(
                    self._subscribed(LabelInfo, topic, self._label_taker(name), LATCHED)
                )
            self._images = self._subscribed_to_images()
        except BaseException:
            self.close()
            raise
        self._expect()

    def close(self) -> None:
        """Take nothing more."""
        if self._images is not None:
            self._images.close()
            self._images = None
        for subscription in (*self._results, *self._labels):
            self._node.destroy_subscription(subscription)
        self._results.clear()
        self._labels.clear()
        self._unpaired(self._pairing.clear())

    def look(self) -> None:
        """See who publishes now, and give what has waited for long enough."""
        if self._wanted() != self._expected:
            self._expect()
        self._offer(self._pairing.overdue(time.monotonic()))

    def conditions(self, *, images_expected: bool) -> list[Condition]:
        """What hinders images and results from arriving; that none come only if one may."""
        stale_after_s = QUIET_S if images_expected else 0.0
        images = self._images.conditions(stale_after_s) if self._images else []
        return [*images, *self._unheard.conditions([*self._results, *self._labels])]

    def values(self) -> dict[str, str]:
        """What is paired, for /diagnostics."""
        if not self.is_open:
            return {'inputs': 'not subscribed, since nobody subscribes ~/overlay'}
        return {
            'inputs': ', '.join([IMAGE, *sorted(self._expected)]),
            'images that wait': str(len(self._pairing)),
        }

    def _subscribed_to_images(self) -> FrameSubscription:
        return FrameSubscription(
            self._node,
            transport=self._node.parameters.image_transport,
            reliability=self._node.parameters.reliability,
            arrived=self._take_image,
            depth=_DEPTH,
        )

    def _subscribed(
        self,
        kind: type,
        topic: str,
        take: Callable[[Any], None],
        profile: QoSProfile | int = _DEPTH,
    ) -> Subscription:
        return self._node.create_subscription(
            kind, topic, take, profile, event_callbacks=SILENT_SUBSCRIPTION
        )

    def _wanted(self) -> frozenset[str]:
        """The results that are asked for, or else those that have publishers."""
        return frozenset(self._node.parameters.inputs) or frozenset(
            name
            for name, subscription in zip(RESULTS, self._results, strict=True)
            if self._node.count_publishers(subscription.topic_name)
        )

    def _expect(self) -> None:
        """Wait for what is wanted now."""
        self._unpaired(self._pairing.clear())
        self._expected = self._wanted()
        self._left_out = 0
        self._pairing = StampPairing(
            IMAGE,
            self._expected,
            timeout_s=self._node.parameters.timeout,
            capacity=self._node.parameters.queue_size,
        )

    def _take_image(self, arrival: Arrival) -> None:
        self._node.statistics.frame_in()
        if not self._node.enabled:
            self._node.statistics.frame_dropped(PAUSED)
            return
        stamp_ns = arrival.frame.stamp_ns
        if stamp_ns == _UNSTAMPED:
            self._offer([Group(stamp_ns, {IMAGE: arrival}, self._expected)])
        else:
            self._pair(IMAGE, stamp_ns, arrival)

    def _taker(self, name: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            if name in self._expected and self._node.enabled:
                stamp_ns = stamp_ns_of(message.header)
                if stamp_ns != _UNSTAMPED:
                    self._pair(name, stamp_ns, message)

        return take

    def _label_taker(self, name: str) -> Callable[[LabelInfo], None]:
        def take(message: LabelInfo) -> None:
            self.names[name] = class_names(message)

        return take

    def _pair(self, name: str, stamp_ns: int, item: Any) -> None:
        groups = self._pairing.add(name, stamp_ns, item, time.monotonic())
        self._unpaired(self._pairing.left_out - self._left_out)
        self._left_out = self._pairing.left_out
        self._offer(groups)

    def _unpaired(self, images: int) -> None:
        if images:
            self._node.statistics.frame_dropped(UNPAIRED, images)

    def _offer(self, groups: Sequence[Group[Any]]) -> None:
        for group in groups:
            self._give(group)
