"""Memory of overlay_node while results come late, many pictures a second: does it keep any?

    python benchmarks/overlay_memory.py --minutes 10 --rate 20 --late-ms 300

Sends images at four times the demonstration's rate, and the detections of each half to one and a
half times as late as asked for, one in a hundred never. An image waits until its results come, so
that memory grows to what the images that wait take, `queue_size` at most: what counts is whether
it goes on from there. Prints the mean of each minute.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import random
import shlex
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from measured_node import MeasuredNode, as_json, environment_on, exit_status
from memory_growth import private_mb, slope_with_error
from rclpy.qos import QoSProfile
from ros_probe import image_message
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

NAMES = ('car', 'lorry', 'pedestrian', 'cyclist', 'traffic_sign')
OBJECTS = 12
LOST = 0.01
"""Share of the images whose detections never come."""

SETTLED = 0.5
"""Share of the run after which the line through the memory begins."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--rate', type=float, default=20, help='images a second')
    parser.add_argument('--late-ms', type=float, default=300, help='mean delay of the detections')
    parser.add_argument('--size', default='1280x720')
    parser.add_argument('--domain', type=int, default=66)
    parser.add_argument('--note', default='', help='for the report, such as: busy machine')
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    arguments = parser.parse_args()
    environment = environment_on(arguments.domain)
    os.environ.update(environment)  # before rclpy starts: this process is one of the domain's
    with MeasuredNode('overlay_node --ros-args -p "inputs:=[detections]"', environment) as node:
        looks, pictures = watch(arguments, node)
    rows = by_minute(looks)
    late = [look for look in looks if look[0] > looks[-1][0] * SETTLED]
    slope, error = slope_with_error(*np.array([(s / 3600, mb) for s, mb, _ in late]).T)
    print(f'{"minute":>6} {"private MB":>11} {"images that wait":>17}')
    for minute, mb, waiting in rows:
        print(f'{minute:6} {mb:11.1f} {waiting:17.1f}')
    print(f'{pictures} pictures; second half: {slope:+.1f} MB an hour, error {error:.1f}')
    if arguments.out:
        report = {
            'command': shlex.join(['python', 'benchmarks/overlay_memory.py', *sys.argv[1:]]),
            'machine': f'{psutil.cpu_count()} cores. {arguments.note}'.strip(),
            'pictures': pictures,
            'minutes': [
                {'minute': minute, 'private_mb': round(mb, 1), 'waiting': round(waiting, 1)}
                for minute, mb, waiting in rows
            ],
            'second_half': {'mb_an_hour': round(slope, 1), 'error': round(error, 1)},
        }
        arguments.out.write_text(as_json(report))
    return 0


def watch(arguments: argparse.Namespace, node: MeasuredNode) -> tuple[list, int]:
    """Seconds, private MB and images that wait, at each report; and how many pictures came."""
    rclpy.init()
    ours = rclpy.create_node('overlay_memory')
    images = ours.create_publisher(Image, 'image', QoSProfile(depth=5))
    results = ours.create_publisher(Detection2DArray, 'detections', QoSProfile(depth=5))
    process, looks, pictures = psutil.Process(node.process.pid), [], itertools.count()
    begin = time.monotonic()

    def heard(message: DiagnosticArray) -> None:
        told = {value.key: value.value for value in message.status[0].values}
        if 'images that wait' in told:
            waiting = float(told['images that wait'])
            looks.append((time.monotonic() - begin, private_mb(process.memory_info()), waiting))

    ours.create_subscription(DiagnosticArray, '/diagnostics', heard, QoSProfile(depth=10))
    ours.create_subscription(
        Image, 'overlay_node/overlay', lambda _: next(pictures), QoSProfile(depth=5), raw=True
    )
    image = image_message(*map(int, arguments.size.split('x')))
    late: list[tuple[float, int, Time]] = []
    due = time.monotonic()
    for number in itertools.count():
        node.check_alive()
        now = time.monotonic()
        if now - begin > arguments.minutes * 60:
            break
        image.header.stamp = ours.get_clock().now().to_msg()
        images.publish(image)
        if random.random() > LOST:
            delay_s = arguments.late_ms * 1e-3 * random.uniform(0.5, 1.5)
            heapq.heappush(late, (now + delay_s, number, image.header.stamp))
        due += 1 / arguments.rate
        while (now := time.monotonic()) < due:
            while late and late[0][0] <= now:
                results.publish(detections(image, heapq.heappop(late)[2]))
            next_s = min(due, late[0][0]) if late else due
            rclpy.spin_once(ours, timeout_sec=max(0.0, next_s - now))
    rclpy.shutdown()
    return looks, next(pictures)


def detections(image: Image, stamp: Time) -> Detection2DArray:
    """Objects somewhere in an image."""
    found = Detection2DArray()
    found.header.stamp, found.header.frame_id = stamp, image.header.frame_id
    for _ in range(OBJECTS):
        one = Detection2D()
        one.bbox.center.position.x = random.uniform(0, image.width)
        one.bbox.center.position.y = random.uniform(0, image.height)
        one.bbox.size_x = random.uniform(10, image.width / 6)
        one.bbox.size_y = random.uniform(10, image.height / 5)
        guess = ObjectHypothesisWithPose()
        guess.hypothesis.class_id = random.choice(NAMES)
        guess.hypothesis.score = random.uniform(0.3, 0.99)
        one.results.append(guess)
        found.detections.append(one)
    return found


def by_minute(looks: list) -> list[tuple[int, float, float]]:
    """The means of each minute."""
    minutes = defaultdict(list)
    for seconds, mb, waiting in looks:
        minutes[int(seconds // 60)].append((mb, waiting))
    return [(minute, *map(float, np.mean(of, axis=0))) for minute, of in minutes.items()]


if __name__ == '__main__':
    raise SystemExit(exit_status(main))
