"""Who is at the other end of a topic, and why nothing passes between two ends, in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from trt_perception.nodes.health import WARN, Beginnings, Condition
from trt_perception.nodes.other_memory import REMEDY, same_machine
from trt_perception.nodes.transport import SHARED_MEMORY

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # its place before Jazzy
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

End = TypeVar('End', Publisher, Subscription)

SILENT_PUBLISHER = PublisherEventCallbacks(use_default_callbacks=False)
SILENT_SUBSCRIPTION = SubscriptionEventCallbacks(use_default_callbacks=False)
"""For ends of which this module speaks: rclpy's own words about a misfit have no names."""

NAMELESS = 'a node without a name'
"""One that has just come and has not said it yet, or that is no node of ROS 2."""

_UNKNOWN = '_NODE_NAME_UNKNOWN_'


def node_of(endpoint: TopicEndpointInfo) -> str:
    """Full name of the node that an end of a topic belongs to."""
    if not endpoint.node_name or endpoint.node_name == _UNKNOWN:
        return NAMELESS
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'


def misfit(offered: QoSProfile, wanted: QoSProfile) -> str:
    """Why a publisher that offers one thing does not serve a subscriber that wants another.

    Returns:
        The middleware's sentences, which say what publisher and subscription have; '' where
        they fit.
    """
    verdict, reason = qos_check_compatible(offered, wanted)
    if verdict != QoSCompatibility.ERROR:
        return ''
    sentences = (text.strip().removeprefix('ERROR: ') for text in reason.split(';'))
    return ', '.join(text for text in sentences if text)


def type_name(kind: type) -> str:
    """As the graph names a message, such as 'sensor_msgs/msg/Image'."""
    return f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'


def of_another_type(publisher: TopicEndpointInfo, topic: str, kind: str) -> str:
    """In words, that a publisher's messages are not what is subscribed to; '' where they are."""
    if publisher.topic_type == kind:
        return ''
    return f'{node_of(publisher)} publishes {publisher.topic_type} on {topic}, not {kind}'


def that_does_not_fit(publisher: TopicEndpointInfo, topic: str, reason: str) -> str:
    """In words, that a publisher's quality of service does not serve; `reason` as of `misfit`."""
    name = node_of(publisher)
    return f'{name} offers a quality of service on {topic} that does not fit: {reason}'


def kept_apart(node: Node, topic: str, publishers: Sequence[TopicEndpointInfo]) -> str:
    """That publishers of a topic, of which nothing came, may have another shared memory.

    They are known then, but not by name, which comes that way too.

    Returns:
        The end of a sentence, and the remedy; '' where nothing speaks for it.
    """
    ours = node.get_fully_qualified_name()
    own = [one for one in node.get_subscriptions_info_by_topic(topic) if node_of(one) == ours]
    strangers = [
        one
        for one in publishers
        if own and node_of(one) == NAMELESS and same_machine(one.endpoint_gid, own[0].endpoint_gid)
    ]
    if not strangers or len(strangers) < len(publishers):
        return ''
    return (
        f'; its publisher on this machine tells no name either. Where it has another '
        f'{SHARED_MEMORY}, as in a container with --net=host, nothing passes: {REMEDY}'
    )


class _OtherEnds(ABC, Generic[End]):
    """Looks for those at the other end of a node's topics with whom nothing passes.

    For one thread.
    """

    def __init__(self, node: Node) -> None:
        """Prepare; `node` is the one that publishes, or subscribes."""
        self._node = node
        self._log = Beginnings(lambda text: node.get_logger().warning(text))

    def conditions(self, ends: Sequence[End]) -> list[Condition]:
        """What is to be said of the others, by the node's own ends; logged when it begins."""
        texts = [text for end in ends for text in self._about(end)]
        self._log.note(texts)
        return [Condition(WARN, text) for text in texts]

    @abstractmethod
    def _about(self, end: End) -> list[str]: ...


class UnheardPublishers(_OtherEnds[Subscription]):
    """Looks for publishers of which a node hears nothing."""

    def _about(self, subscription: Subscription) -> list[str]:
        topic, kind = subscription.topic_name, type_name(subscription.msg_type)
        found = []
        for publisher in self._node.get_publishers_info_by_topic(topic):
            if other := of_another_type(publisher, topic, kind):
                found.append(other)
            elif reason := misfit(publisher.qos_profile, subscription.qos_profile):
                found.append(
                    f'{that_does_not_fit(publisher, topic, reason)}. Let it publish as this node '
                    f'subscribes: {_offer(subscription.qos_profile)}'
                )
        return [text for text in found if not text.startswith(NAMELESS)]


class UnservedSubscribers(_OtherEnds[Publisher]):
    """Looks for subscribers that get nothing of what a node publishes."""

    def _about(self, publisher: Publisher) -> list[str]:
        topic = publisher.topic_name
        # Two numbers that are at hand; whoever is behind them takes the graph's time to tell.
        if self._node.count_subscribers(topic) == publisher.get_subscription_count():
            return []
        ours = self._node.get_fully_qualified_name()
        # As the middleware tells it: what was asked for leaves deadlines open, which fit nobody.
        offers = [
            one.qos_profile
            for one in self._node.get_publishers_info_by_topic(topic)
            if node_of(one) == ours
        ]
        return self._of_topic(topic, type_name(publisher.msg_type), offers[0]) if offers else []

    def _of_topic(self, topic: str, kind: str, offer: QoSProfile) -> list[str]:
        found = []
        for subscriber in self._node.get_subscriptions_info_by_topic(topic):
            name = node_of(subscriber)
            if name == NAMELESS:
                continue
            if subscriber.topic_type != kind:
                found.append(
                    f'{name} subscribes to {topic} as {subscriber.topic_type}, but it is {kind}: '
                    'nothing arrives there'
                )
            elif reason := misfit(offer, subscriber.qos_profile):
                found.append(
                    f'{name} gets nothing on {topic}, since it asks for another quality of '
                    f'service: {reason}. Let it subscribe as this node publishes: {_offer(offer)}'
                )
        return found


def _offer(profile: QoSProfile) -> str:
    return f'{_word(profile.reliability)}, {_word(profile.durability)}'


def _word(policy: object) -> str:
    return str(getattr(policy, 'name', policy)).lower().replace('_', ' ')
