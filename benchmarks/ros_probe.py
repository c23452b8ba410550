"""The two ends of a measurement: `publish` sends images, `receive` notes when results arrive.

Both print one JSON object on their last line. Times are nanoseconds of the system clock; the
image's stamp is taken right before it is published and must come back in the result's header.
The receiver looks at the serialised message only: a result is there when it has arrived, and what
Python takes to unpack 80 objects is no part of it.
"""

import argparse
import array
import importlib
import json
import struct
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from trt_perception.msg import PipelineStats
from trt_perception.nodes.image_wait import ImageWait, OwnThread

STAMP = struct.Struct('=iI')
"""Where a serialised message begins that begins with a header: after 4 bytes on the encoding."""

LONGEST_PERIOD_S = 1.0
"""Seconds between two results at most, for else the receiver looks elsewhere when one arrives."""


TRIAL_S = 1
"""Stamp of images that do not count."""


def image_message(width: int, height: int) -> Image:
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    message = Image(height=height, width=width, encoding='bgr8', step=width * 3)
    message.header.frame_id = 'camera'
    message.data = array.array('B', pixels.tobytes())
    return message


def publish(node, arguments) -> dict:
    width, height = map(int, arguments.size.split('x'))
    message = image_message(width, height)
    publisher = node.create_publisher(Image, arguments.topic, QoSProfile(depth=1))
    wait_until(lambda: publisher.get_subscription_count() > 0, 'a subscriber')
    time.sleep(1.0)
    if arguments.answered_on:
        wait_for_an_answer(node, publisher, message, arguments)
    stamps = []
    due = time.monotonic()
    for _ in range(arguments.frames):
        time.sleep(max(0.0, due - time.monotonic()))
        due += 1 / arguments.rate
        now = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        publisher.publish(message)
        stamps.append(now)
    time.sleep(1.0)
    return {'stamps': stamps}


def wait_for_an_answer(node, publisher, message, arguments) -> None:
    """Show the node images until it answers: one that loads its network at the first has time."""
    message_type, heard = type_named(arguments.type), []
    answers = node.create_subscription(
        message_type, arguments.answered_on, heard.append, QoSProfile(depth=1), raw=True
    )
    message.header.stamp.sec, message.header.stamp.nanosec = TRIAL_S, 0

    def answered() -> bool:
        publisher.publish(message)
        rclpy.spin_once(node, timeout_sec=1.0)
        return bool(heard)

    wait_until(answered, 'an answer')
    while heard:  # to what has been shown meanwhile
        heard.clear()
        rclpy.spin_once(node, timeout_sec=1.0)
    node.destroy_subscription(answers)


def receive(node, arguments) -> dict:
    message_type = type_named(arguments.type)
    arrivals, stats = {}, []
    results = node.create_subscription(
        message_type, arguments.topic, print, QoSProfile(depth=10), callback_group=OwnThread(),
        raw=True,
    )  # fmt: skip
    if arguments.stats:
        node.create_subscription(PipelineStats, arguments.stats, stats.append, 1)
    wait = ImageWait(node.context, [results.handle])
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < arguments.quiet:
        wait.wait(LONGEST_PERIOD_S)
        now = time.time_ns()
        with results.handle:
            taken = results.handle.take_message(message_type, True)
        if taken is not None:
            seconds, nanoseconds = STAMP.unpack_from(taken[0], 4)
            if seconds != TRIAL_S:
                arrivals.setdefault(str(seconds * 10**9 + nanoseconds), now)
            quiet_since = time.monotonic()
            if len(arrivals) == arguments.frames:
                break
        rclpy.spin_once(node, timeout_sec=0)  # stats, while no result is due
    return {'arrivals': arrivals, 'stages': stages_of(stats)}


def type_named(full: str) -> type:
    package, kind, name = full.split('/')
    return getattr(importlib.import_module(f'{package}.{kind}'), name)


def stages_of(stats) -> dict[str, float]:
    """The node's own medians, milliseconds by stage; {} for a node that tells none."""
    return {stage.stage: stage.p50_ms for stage in stats[-1].stages} if stats else {}


def wait_until(holds, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f'waited {seconds:.0f} s for {what}')
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('role', choices=('publish', 'receive'))
    parser.add_argument('--topic', required=True)
    parser.add_argument('--type', default='sensor_msgs/msg/Image')
    parser.add_argument('--size', default='640x480')
    parser.add_argument('--rate', type=float, default=10)
    parser.add_argument('--frames', type=int, default=100)
    parser.add_argument('--stats', default='', help='topic of a PipelineStats besides')
    parser.add_argument('--answered-on', help='begin when something has come on this topic')
    parser.add_argument('--quiet', type=float, default=20, help='give up after s without a result')
    arguments = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node(f'probe_{arguments.role}')
    result = (publish if arguments.role == 'publish' else receive)(node, arguments)
    print(json.dumps(result), flush=True)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
