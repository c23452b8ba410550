"""Publishers and subscriptions whose quality of service can be overridden by parameters."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

from rclpy.exceptions import InvalidParameterTypeException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from trt_perception.errors import ParameterError
from trt_perception.nodes.endpoints import SILENT_PUBLISHER

RESULTS = QoSProfile(depth=5)
"""Reliable. So many messages wait for a subscriber that is slow for a moment."""


def overridable_publisher(
    node: Node, kind: type, topic: str, profile: QoSProfile = RESULTS
) -> Publisher:
    """Create a publisher whose misfits `UnservedSubscribers` is to tell.

    Args:
        node: that publishes.
        kind: of the messages.
        topic: before remapping.
        profile: what holds where no parameter says otherwise; stays as it is.

    Raises:
        ParameterError: the value of such a parameter is not allowed.
    """
    with overrides_of(node.resolve_topic_name(topic)):
        return node.create_publisher(
            kind,
            topic,
            copy.copy(profile),  # rclpy writes the overrides into what it is given
            event_callbacks=SILENT_PUBLISHER,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )


@contextlib.contextmanager
def overrides_of(topic: str) -> Iterator[None]:
    """Around the making of a publisher or a subscription: a wrong override of its QoS is told.

    Raises:
        ParameterError: the value of such a parameter is not allowed.
    """
    try:
        yield
    except InvalidParameterTypeException as error:
        raise _not_allowed(topic, error) from error
    except RuntimeError as error:  # rclpy's, which names no topic
        if 'QoS override' not in str(error):
            raise
        raise _not_allowed(topic, error) from error


def _not_allowed(topic: str, error: Exception) -> ParameterError:
    return ParameterError(
        f'qos_overrides.{topic}: {error}. Allowed are reliable and best_effort, keep_last and '
        'keep_all, and whole numbers for the depth'
    )
