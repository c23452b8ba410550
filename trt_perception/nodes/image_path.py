"""The two ends of a measured image path, each a process of its own. See `transport_measurement`.

    python -c 'from trt_perception.nodes.image_path import main; main()' '{"role": "publish", ...}'

Each prints one JSON object. Times are nanoseconds of the system's clock.
"""

from __future__ import annotations

import array
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from trt_perception.nodes.frame_subscription import Arrival, FrameSubscription
from trt_perception.nodes.image_wait import ImageWait
from trt_perception.nodes.log_folder import log_arguments
from trt_perception.nodes.memory import keep_freed_memory

_PATIENCE_S = 15.0
_LAST_ARRIVES_S = 1.0
_NEWEST = QoSProfile(depth=1)


def main() -> None:
    """Run one end, as the JSON object in the first argument says."""
    wanted = json.loads(sys.argv[1])
    if wanted['keep_memory']:
        keep_freed_memory()
    rclpy.init(args=log_arguments(os.environ))
    node = rclpy.create_node(f'transport_{wanted["role"]}')
    ends: dict[str, Callable[[Node, Any], dict[str, Any]]] = {
        'publish': _publish,
        'take': _take,
        'spin': _spin,
    }
    print(json.dumps(ends[wanted['role']](node, wanted)), flush=True)
    node.destroy_node()
    rclpy.try_shutdown()


def _publish(node: Node, wanted: dict[str, Any]) -> dict[str, Any]:
    width, height = wanted['size']
    message = Image(width=width, height=height, encoding='bgr8', step=width * 3)
    message.data = array.array('B', bytes(width * height * 3))
    publisher = node.create_publisher(Image, wanted['topic'], _NEWEST)
    until = time.monotonic() + _PATIENCE_S
    while not publisher.get_subscription_count() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.5)  # the other end may learn of this one a little later
    stamps = []
    due = time.monotonic()
    for _ in range(wanted['frames']):
        time.sleep(max(0.0, due - time.monotonic()))
        due += 1 / wanted['rate']
        now = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        publisher.publish(message)
        stamps.append(now)
    time.sleep(_LAST_ARRIVES_S)
    return {'stamps': stamps}


def _take(node: Node, wanted: dict[str, Any]) -> dict[str, Any]:
    """As the nodes of this package do."""
    subscription = FrameSubscription(
        node,
        transport='raw',
        reliability='reliable',
        image=wanted['topic'],
        memory=lambda nbytes: np.empty(nbytes, np.uint8),
    )
    wait = ImageWait(node.context, [subscription.handle])
    noted = _Noted(wanted['frames'])
    while noted.go_on():
        wait.wait(0.1)
        arrival = subscription.take()
        if arrival is not None:
            noted.note(arrival)
    return {'arrivals': noted.arrivals, 'cpu_s': time.process_time()}


def _spin(node: Node, wanted: dict[str, Any]) -> dict[str, Any]:
    """As a node does that lets rclpy call it back."""
    noted = _Noted(wanted['frames'])
    node.create_subscription(Image, wanted['topic'], noted.note, _NEWEST)
    while noted.go_on():
        rclpy.spin_once(node, timeout_sec=0.1)
    return {'arrivals': noted.arrivals, 'cpu_s': time.process_time()}


class _Noted:
    """When images arrived, by their stamps."""

    def __init__(self, frames: int) -> None:
        self.arrivals: dict[str, int] = {}
        self._frames = frames
        self._until = time.monotonic() + _PATIENCE_S

    def note(self, message: Image | Arrival) -> None:
        now = time.time_ns()
        stamp = message.header.stamp
        self.arrivals[str(stamp.sec * 10**9 + stamp.nanosec)] = now
        self._until = time.monotonic() + 2 * _LAST_ARRIVES_S

    def go_on(self) -> bool:
        return len(self.arrivals) < self._frames and time.monotonic() < self._until
