"""The two ends of a measurement: `publish` sends images, `receive` notes when results arrive.

Both print one JSON object on their last line. Times are nanoseconds of the system clock; the
image's stamp is taken right before it is published and must come back in the result's header.
"""

import argparse
import array
import importlib
import json
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image


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


def receive(node, arguments) -> dict:
    package, kind, name = arguments.type.split('/')
    message_type = getattr(importlib.import_module(f'{package}.{kind}'), name)
    arrivals = {}

    def note(message) -> None:
        now = time.time_ns()
        stamp = message.header.stamp
        arrivals.setdefault(str(stamp.sec * 10**9 + stamp.nanosec), now)

    node.create_subscription(message_type, arguments.topic, note, QoSProfile(depth=10))
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < arguments.quiet:
        before = len(arrivals)
        rclpy.spin_once(node, timeout_sec=0.1)
        if len(arrivals) != before:
            quiet_since = time.monotonic()
        if len(arrivals) == arguments.frames:
            break
    return {'arrivals': arrivals}


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
