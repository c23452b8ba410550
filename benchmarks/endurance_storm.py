"""Disturbs the demonstration from a process of its own, and prints one JSON object.

python benchmarks/endurance_storm.py subscribers --seconds 10   # 20 that come and go
python benchmarks/endurance_storm.py parameters --seconds 10    # as many calls as are answered
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

TOPICS = (
    ('image', Image),
    ('image/compressed', CompressedImage),
    ('detect_node/detections', Detection2DArray),
    ('instance_node/mask', Image),
    ('semantic_node/mask', Image),
    ('semantic_node/color_mask', Image),
    ('overlay_node/overlay', Image),
)
SET: dict[str, tuple[str, tuple[float, ...]]] = {
    'detect_node': ('score_threshold', (0.25, 0.3, 0.35, 7.0)),
    'instance_node': ('score_threshold', (0.25, 0.3, 0.35, -1.0)),
    'semantic_node': ('warn_latency', (10.0, 20.0, 30.0, -5.0)),
    'overlay_node': ('mask_opacity', (0.3, 0.4, 0.45, 9.0)),
}
"""By node: a parameter and its values in turn; the last one has to be refused."""

OUTSTANDING = 8
"""Calls of one node that wait for their answer: the queues of a ROS 2 service hold ten."""

PATIENCE_S = 5.0


def subscribers(seconds: float, count: int) -> dict[str, int]:
    """`count` nodes with a subscription each, made and destroyed until the time is over."""
    came = 0
    cycles = 0

    def take(_: bytes) -> None:
        nonlocal came
        came += 1

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        executor = SingleThreadedExecutor()
        nodes = [rclpy.create_node(f'subscriber_{index}') for index in range(count)]
        for node, (topic, kind) in zip(nodes, itertools.cycle(TOPICS), strict=False):
            node.create_subscription(kind, topic, take, QoSProfile(depth=1), raw=True)
            executor.add_node(node)
        stay = time.monotonic() + 1.5
        while time.monotonic() < stay:
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        cycles += 1
    return {'cycles': cycles, 'subscribers': count, 'messages': came}


def parameters(seconds: float, _: int) -> dict[str, Any]:
    """set_parameters of all nodes at once, `OUTSTANDING` calls each at a time."""
    node = rclpy.create_node('parameter_storm')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    clients = {name: node.create_client(SetParameters, f'{name}/set_parameters') for name in SET}
    for client in clients.values():
        _wait_until_heard(client, executor)
    turns = {name: itertools.cycle(_values(*SET[name])) for name in SET}
    waiting: dict[str, list[Any]] = {name: [] for name in SET}
    counts = {'calls': 0, 'accepted': 0, 'refused': 0, 'wrongly_judged': 0}
    began = time.monotonic()
    end = began + seconds
    while (now := time.monotonic()) < end or any(waiting.values()):
        for name, pairs in waiting.items():
            while now < end and len(pairs) < OUTSTANDING:
                request, fits = next(turns[name])
                pairs.append((clients[name].call_async(request), fits))
                counts['calls'] += 1
        executor.spin_once(timeout_sec=0.05)
        for name, pairs in waiting.items():
            for future, fits in [pair for pair in pairs if pair[0].done()]:
                done = future.result().results[0].successful
                counts['accepted' if done else 'refused'] += 1
                counts['wrongly_judged'] += done != fits
            waiting[name] = [pair for pair in pairs if not pair[0].done()]
        if now > end + PATIENCE_S:
            break
    rate = (counts['accepted'] + counts['refused']) / (time.monotonic() - began)
    return {
        **counts,
        'unanswered': sum(map(len, waiting.values())),
        'answers_a_second': round(rate),
    }


def _wait_until_heard(client: Any, executor: SingleThreadedExecutor) -> None:
    """A node that has not yet learnt of a client drops its answers."""
    client.wait_for_service(PATIENCE_S)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = client.call_async(SetParameters.Request())
        executor.spin_until_future_complete(answer, timeout_sec=0.5)
        if answer.done():
            return


def _values(
    parameter: str, values: Sequence[float]
) -> Iterator[tuple[SetParameters.Request, bool]]:
    """Requests, and whether each has to be accepted."""
    for index, value in enumerate(values):
        message = Parameter(parameter, value=value).to_parameter_msg()
        yield SetParameters.Request(parameters=[message]), index < len(values) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('storm', choices=('subscribers', 'parameters'))
    parser.add_argument('--seconds', type=float, default=10.0)
    parser.add_argument('--count', type=int, default=20)
    arguments = parser.parse_args()
    rclpy.init()
    storm = {'subscribers': subscribers, 'parameters': parameters}[arguments.storm]
    print(json.dumps(storm(arguments.seconds, arguments.count)))


if __name__ == '__main__':
    main()
