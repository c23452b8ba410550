"""Camera images from a topic; and in words, why none arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trt_perception.errors import FrameError
from trt_perception.frames import Frame
from trt_perception.nodes.byte_take import Memory
from trt_perception.nodes.endpoints import (
    NAMELESS,
    SILENT_SUBSCRIPTION,
    kept_apart,
    misfit,
    node_of,
    of_another_type,
    that_does_not_fit,
    type_name,
)
from trt_perception.nodes.health import STALE, WARN, Beginnings, Condition
from trt_perception.nodes.image_form import ImageForm
from trt_perception.nodes.image_taking import ImageTaking, frame_and_header
from trt_perception.nodes.image_wait import OwnThread
from trt_perception.nodes.qos_overrides import overrides_of
from trt_perception.nodes.sequence_gaps import Missed, SequenceGaps
from trt_perception.nodes.stamp_watch import StampWatch

QUIET_S = 5.0
"""Seconds without an image after which that is said, unless somebody wants it otherwise."""

_CREDIBLE_WAIT_S = 60.0
"""Seconds that an image can have waited to be taken."""

_NS = 10**9

_COMPRESSED = '/compressed'
"""What image_transport puts behind the name of the topic that it compresses."""


@dataclass(frozen=True)
class Arrival:
    """A frame with what its results need.

    Attributes:
        frame: the image; its data are the message's own, and not copied.
        header: of the message, to be copied into every result as it is.
        received_s: when it arrived, by time.perf_counter.
        missed: images before it that were never seen here.
    """

    frame: Frame
    header: Header
    received_s: float
    missed: Missed


class FrameSubscription:
    """Subscribes to an image topic, or to the compressed one beside it.

    With `arrived` the executor hands over each frame. Without, a thread of the caller's waits
    with `image_wait.ImageWait` and calls `take`: no executor stands between an image and the
    work on it, and images that the network has no time for are never copied out of the
    middleware.

    Attributes:
        stamps: what is odd about the stamps; noted by whoever uses the frames.
        form: size, encoding and coordinate frame of the images.
        handle: what `ImageWait` waits for.
    """

    def __init__(
        self,
        node: Node,
        *,
        transport: str,
        reliability: str,
        image: str = 'image',
        arrived: Callable[[Arrival], None] | None = None,
        depth: int = 1,
        memory: Memory | None = None,
    ) -> None:
        """Subscribe.

        Args:
            node: whose subscription it is.
            transport: 'raw' or 'compressed'.
            reliability: 'reliable' or 'best_effort'.
            image: topic of the raw images, before remapping.
            arrived: called in the executor's thread for every frame; must not take long.
            depth: images that may wait for being taken; 1 keeps the newest only.
            memory: where `take` puts images, such as `PerceptionPipeline.frame_memory`; None
                leaves it to rclpy.
        """
        self._node = node
        self._image = image
        self._arrived = arrived
        self._kind = Image if transport == 'raw' else CompressedImage
        self._newest_s = time.perf_counter()
        self._log = Beginnings(lambda text: node.get_logger().warning(text))
        self._found: set[str] = set()
        self._nameless: set[str] = set()
        self._silent = False
        self._count = 0
        self._gaps = SequenceGaps()
        self.stamps = StampWatch()
        self.form = ImageForm()
        profile = QoSProfile(
            depth=depth,
            reliability=QoSReliabilityPolicy.RELIABLE
            if reliability == 'reliable'
            else QoSReliabilityPolicy.BEST_EFFORT,
        )
        raw = transport == 'raw'
        topic = str(node.resolve_topic_name(image)) if raw else compressed_topic(node, image)
        self._subscription = self._subscribed(topic, profile)
        self._profile = profile  # into which the overrides have been written
        self.handle = self._subscription.handle
        log = node.get_logger()
        self._taking = ImageTaking(
            self.handle, self._kind, memory, lambda text: log.info(f'{self.topic}: {text}')
        )
        self._missed = Missed()

    @property
    def topic(self) -> str:
        """The topic's full name, after remapping."""
        return str(self._subscription.topic_name)

    def take(self) -> Arrival | None:
        """The next frame that waits in the middleware; None where there is none.

        Raises:
            FrameError: there was one, and it cannot be read.
        """
        try:
            taken = self._taking.take()
        except FrameError:
            self._heard()
            self._gaps.left_out()
            raise
        if taken is None:
            self._gaps.emptied()
            return None
        self._heard()
        self._missed += self._gaps.missed(taken.number)
        frame, header = taken.read()
        missed, self._missed = self._missed, Missed()
        return self._arrival(frame, header, taken.received_ns, missed)

    def looked_away(self) -> None:
        """Nobody takes frames for a while, so that one that waits may be replaced by a newer."""
        self._gaps.looked_away()

    def close(self) -> None:
        """Take no more frames."""
        self._node.destroy_subscription(self._subscription)

    def conditions(self, stale_after_s: float = QUIET_S) -> list[Condition]:
        """What hinders frames from arriving, or is odd about them. Asks the graph; not for free.

        Args:
            stale_after_s: seconds without an image after which that is said; 0 never does.
        """
        quiet_s = time.perf_counter() - self._newest_s
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        self._gaps.one_publisher = len(publishers) == 1
        found = self._about(publishers)
        if publishers or quiet_s > QUIET_S:  # a camera may well start after its node
            self._say(found)
        for text in self.stamps.unsaid():
            self._node.get_logger().warning(f'{self.topic}: {text}')
        if changed := self.form.unsaid():
            self._node.get_logger().info(f'{self.topic}: the images are now {changed}')
        if 0 < stale_after_s < quiet_s:
            since = f'for {quiet_s:.0f} s' if self._count else 'yet'
            text = f'no image on {self.topic} {since}'
            if not self._count:
                text += kept_apart(self._node, self.topic, publishers)
            if not found and not self._silent:  # else the log has already said why
                self._node.get_logger().warning(text)
                self._silent = True
            found.append(Condition(STALE, text))
        elif self._silent and quiet_s < QUIET_S:
            self._node.get_logger().info(f'images come again on {self.topic}')
            self._silent = False
        told = [condition for condition in found if condition.text not in self._nameless]
        return told + self.stamps.conditions()

    def _subscribed(self, topic: str, profile: QoSProfile) -> Subscription:
        """Create the subscription; rclpy writes the overrides into `profile`."""
        with overrides_of(topic):
            return self._node.create_subscription(
                self._kind,
                topic,
                self._hand_over,
                profile,
                callback_group=OwnThread() if self._arrived is None else None,
                event_callbacks=SILENT_SUBSCRIPTION,  # `conditions` speaks of what does not fit
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

    def _say(self, found: list[Condition]) -> None:
        """Log each condition when it begins; those of a node that has no name yet wait."""
        texts = {condition.text for condition in found}
        # Who has just come tells its name within the next second.
        self._nameless = {text for text in texts if NAMELESS in text} - self._found
        self._found = texts
        self._log.note(texts - self._nameless)

    def _about(self, publishers: Sequence[TopicEndpointInfo]) -> list[Condition]:
        wanted = type_name(self._kind)
        if not publishers:
            return [Condition(WARN, f'nobody publishes {self.topic} ({wanted}){self._beside()}')]
        found, fitting = [], []
        for publisher in publishers:
            if other := of_another_type(publisher, self.topic, wanted):
                text = f'{other}{self._beside()}'
            elif reason := misfit(publisher.qos_profile, self._profile):
                remedy = (
                    'Start this node with the parameter `reliability` at best_effort, or change '
                    'the publisher'
                    if 'reliable subscription' in reason
                    else 'Change the publisher, or the qos_overrides of this node'
                )
                text = f'{that_does_not_fit(publisher, self.topic, reason)}. {remedy}'
            else:
                fitting.append(node_of(publisher))
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

    def _beside(self) -> str:
        """Where the same images may be had in the other form; '' where nobody offers them."""
        raw = self.topic.removesuffix(_COMPRESSED)
        name = f'{raw}{_COMPRESSED}' if self._kind is Image else raw
        other, transport = (
            (CompressedImage, 'compressed') if self._kind is Image else (Image, 'raw')
        )
        kinds = {one.topic_type for one in self._node.get_publishers_info_by_topic(name)}
        if type_name(other) not in kinds:
            return ''
        return (
            f'. {name} has them as {type_name(other)}: start this node with the parameter '
            f'`image_transport` at {transport} and `{self._image}` remapped to {raw}'
        )

    def _hand_over(self, message: Image | CompressedImage) -> None:
        assert self._arrived is not None
        self._heard()
        arrival = self._arrival(*frame_and_header(message), 0, Missed())
        self.stamps.note(arrival.frame.stamp_ns)
        self._arrived(arrival)

    def _heard(self) -> None:
        self._newest_s = time.perf_counter()
        self._count += 1

    def _arrival(self, frame: Frame, header: Header, received_ns: int, missed: Missed) -> Arrival:
        self.form.note(frame)
        now = time.perf_counter()
        waited_s = (time.time_ns() - received_ns) / _NS
        # By the system's clock, which may be set meanwhile, and which not every middleware tells.
        received_s = now - waited_s if 0 < waited_s < _CREDIBLE_WAIT_S else now
        return Arrival(frame, header, received_s, missed)


def compressed_topic(node: Node, image: str = 'image') -> str:
    """Where `image/compressed` is: remapped by itself, or beside a remapped `image`."""
    name = f'{image}{_COMPRESSED}'
    remapped = str(node.resolve_topic_name(name))
    if remapped != node.resolve_topic_name(name, only_expand=True):
        return remapped
    return f'{node.resolve_topic_name(image)}{_COMPRESSED}'
