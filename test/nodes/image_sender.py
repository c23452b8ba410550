"""A process that publishes images of its own, as it is told to by lines on its standard input."""

from __future__ import annotations

import array
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rclpy
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image


def picture(width: int, height: int, seed: int) -> Image:
    """A bgr8 image that is known by its seed, which is its stamp as well."""
    pixels = np.random.default_rng(seed).integers(0, 256, height * width * 3, np.uint8)
    image = Image(width=width, height=height, step=width * 3, encoding='bgr8')
    image.header.frame_id = f'camera_{seed}'
    image.header.stamp.sec = seed
    image.data = array.array('B', pixels.tobytes())
    return image


class ImageSender:
    """The process, from the outside."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def turn_to(self, topic: str, hearers: int = 1) -> None:
        """Publish to another topic from now on; waits until so many subscriptions hear it."""
        self._tell(f'topic {topic} {hearers}')

    def send(self, width: int, height: int, seed: int, *, without: int = 0) -> None:
        """Publish `picture`; the serialised message lacks so many bytes at its end."""
        self._tell(f'image {width} {height} {seed} {without}')

    def _tell(self, line: str) -> None:
        self._process.stdin.write(line + '\n')
        self._process.stdin.flush()
        assert self._process.stdout.readline() == 'done\n'


@contextlib.contextmanager
def image_sender(graph) -> Iterator[ImageSender]:
    """The process, in the graph's domain."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        env=graph.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield ImageSender(process)
    finally:
        process.stdin.close()
        process.wait(20.0)


def main() -> None:
    rclpy.init()
    node = rclpy.create_node('image_sender')
    publisher = None
    for line in sys.stdin:
        kind, *rest = line.split()
        if kind == 'topic':
            if publisher is not None:
                node.destroy_publisher(publisher)
            publisher = node.create_publisher(Image, rest[0], QoSProfile(depth=20))
            while publisher.get_subscription_count() < int(rest[1]):
                rclpy.spin_once(node, timeout_sec=0.01)
        else:
            width, height, seed, without = map(int, rest)
            message = serialize_message(picture(width, height, seed))
            publisher.publish(message[: len(message) - without])
        print('done', flush=True)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main()
