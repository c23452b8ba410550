"""Camera images from a topic, without a copy; and in words, why none arrive."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, QoSReliabilityPolicy, qos_check_compatible
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trt_perception.frames import COMPRESSED, Frame
from trt_perception.nodes.health import STALE, WARN, Condition

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # its place before Jazzy
    from rclpy.qos_event import SubscriptionEventCallbacks

_QUIET_S = 5.0
"""Seconds without an image after which that is said."""

_RECENT_S = 5.0
"""Seconds for which an odd stamp is spoken of."""

_NS = 10**9


@dataclass(frozen=True)
class Arrival:
    """A frame with what its results need.

    Attributes:
        frame: the image; its data belongs to the message and is not copied.
        header: of the message, to be copied into every result as it is.
        received_s: when it arrived, by time.perf_counter.
    """

    frame: Frame
    header: Header
    received_s: float


class StampWatch:
    """Counts stamps that are zero or older than the one before; their frames are served.

    Attributes:
        zero, backward: how many there were.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start from zero; `clock` gives seconds and never goes back."""
        self.zero = 0
        self.backward = 0
        self._clock = clock
        self._before_ns = 0
        self._zero_at = self._backward_at = -math.inf

    def note(self, stamp_ns: int) -> None:
        """Look at the stamp of the next frame."""
        if stamp_ns == 0:
            self.zero += 1
            self._zero_at = self._clock()
            return
        if stamp_ns < self._before_ns:
            self.backward += 1
            self._backward_at = self._clock()
        self._before_ns = stamp_ns

    def conditions(self) -> list[Condition]:
        """What was odd lately."""
        since = self._clock() - _RECENT_S
        found = []
        if self._zero_at >= since:
            text = f'{self.zero} images had stamp zero: nothing can be paired with their results'
            found.append(Condition(WARN, text))
        if self._backward_at >= since:
            times = 'once' if self.backward == 1 else f'{self.backward} times'
            found.append(Condition(WARN, f'the stamps of the images went backwards {times}'))
        return found


class FrameSubscription:
    """Subscribes to `image` or `image/compressed` and hands over each frame at once."""

    def __init__(
        self,
        node: Node,
        *,
        transport: str,
        reliability: str,
        arrived: Callable[[Arrival], None],
        depth: int = 1,
    ) -> None:
        """Subscribe.

        Args:
            node: whose subscription it is.
            transport: 'raw' or 'compressed'.
            reliability: 'reliable' or 'best_effort'.
            arrived: called in the executor's thread for every frame; must not take long.
            depth: images that may wait for the executor's thread; 1 keeps the newest only.
        """
        self._node = node
        self._arrived = arrived
        self._kind = Image if transport == 'raw' else CompressedImage
        self._newest_s = time.perf_counter()
        self._said: set[str] = set()
        self._count = 0
        self.stamps = StampWatch()
        profile = QoSProfile(
            depth=depth,
            reliability=QoSReliabilityPolicy.RELIABLE
            if reliability == 'reliable'
            else QoSReliabilityPolicy.BEST_EFFORT,
        )
        self._subscription = node.create_subscription(
            self._kind,
            node.resolve_topic_name('image') if transport == 'raw' else compressed_topic(node),
            self._on_raw if transport == 'raw' else self._on_compressed,
            profile,
            # What does not fit is said by `conditions`, with the publisher's name.
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._profile = profile  # create_subscription writes the overrides into it

    @property
    def topic(self) -> str:
        """The topic's full name, after remapping."""
        return str(self._subscription.topic_name)

    def close(self) -> None:
        """Take no more frames."""
        self._node.destroy_subscription(self._subscription)

    def conditions(self) -> list[Condition]:
        """What hinders frames from arriving, or is odd about them. Asks the graph; not for free."""
        quiet_s = time.perf_counter() - self._newest_s
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        found = self._about(publishers)
        if publishers or quiet_s > _QUIET_S:  # a camera may well start after its node
            self._log(found)
        if not found and quiet_s > _QUIET_S:
            since = f'for {quiet_s:.0f} s' if self._count else 'yet'
            found.append(Condition(STALE, f'no image on {self.topic} {since}'))
        return found + self.stamps.conditions()

    def _log(self, found: list[Condition]) -> None:
        """Log each condition when it begins."""
        texts = {condition.text for condition in found}
        for text in sorted(texts - self._said):
            self._node.get_logger().warning(text)
        self._said = texts

    def _about(self, publishers: Sequence[TopicEndpointInfo]) -> list[Condition]:
        wanted = f'sensor_msgs/msg/{self._kind.__name__}'
        if not publishers:
            return [Condition(WARN, f'nobody publishes {self.topic} ({wanted})')]
        found, fitting = [], []
        for publisher in publishers:
            name = f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'
            verdict, reason = qos_check_compatible(publisher.qos_profile, self._profile)
            if publisher.topic_type != wanted:
                text = f'{name} publishes {publisher.topic_type} on {self.topic}, not {wanted}'
            elif verdict == QoSCompatibility.ERROR:
                text = (
                    f'{name} offers a quality of service on {self.topic} that does not fit: '
                    f'{reason} Start this node with the parameter `reliability` at best_effort, '
                    'or change the publisher'
                )
            else:
                fitting.append(name)
                continue
            found.append(Condition(WARN, text))
        if len(fitting) > 1:
            names = ', '.join(sorted(fitting))
            found.append(
                Condition(
                    WARN,
                    f'{self.topic} has {len(fitting)} publishers: {names}. Their '
                    'images are mixed; the results carry the stamps of each',
                )
            )
        return found

    def _on_raw(self, message: Image) -> None:
        self._hand_over(
            message.header,
            Frame(
                np.frombuffer(message.data, np.uint8),
                message.height,
                message.width,
                message.step,
                message.encoding,
                bool(message.is_bigendian),
                _nanoseconds(message.header),
                message.header.frame_id,
            ),
        )

    def _on_compressed(self, message: CompressedImage) -> None:
        self._hand_over(
            message.header,
            Frame(
                np.frombuffer(message.data, np.uint8),
                0,
                0,
                0,
                COMPRESSED,
                stamp_ns=_nanoseconds(message.header),
                frame_id=message.header.frame_id,
            ),
        )

    def _hand_over(self, header: Header, frame: Frame) -> None:
        self._newest_s = time.perf_counter()
        self._count += 1
        self.stamps.note(frame.stamp_ns)
        self._arrived(Arrival(frame, header, self._newest_s))


def compressed_topic(node: Node) -> str:
    """Where `image/compressed` is: remapped by itself, or beside a remapped `image`."""
    name = 'image/compressed'
    remapped = str(node.resolve_topic_name(name))
    if remapped != node.resolve_topic_name(name, only_expand=True):
        return remapped
    return f'{node.resolve_topic_name("image")}/compressed'


def _nanoseconds(header: Header) -> int:
    return int(header.stamp.sec) * _NS + int(header.stamp.nanosec)
