"""The two ends of a measurement with several cameras: `camera` sends, `results` notes arrivals.

Each prints one JSON object on its last line. Times are nanoseconds of the system's clock. A camera
follows a schedule of phases, all of which begin at a moment that the cameras are told, so that
they keep step without talking to each other.
"""

import argparse
import array
import json
import struct
import time

import rclpy
from rclpy.qos import QoSProfile
from ros_probe import image_message
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from trt_perception.nodes.image_wait import ImageWait, OwnThread
from trt_perception.nodes.memory import keep_freed_memory

STAMP = struct.Struct('=iI')


def camera(node, arguments) -> dict:
    """Phases are [seconds, rate in Hz, 'good' or 'garbage', seconds before the first image].

    A rate of 0 is a stall.
    """
    width, height = map(int, arguments.size.split('x'))
    good = image_message(width, height)
    garbage = Image(width=width, height=height, step=width * 3, encoding='bgr8')
    garbage.data = array.array('B', good.data[: len(good.data) // 2])
    publisher = node.create_publisher(Image, arguments.topic, QoSProfile(depth=1))
    stamps = []
    begin = arguments.begin
    for number, (seconds, rate, kind, offset_s) in enumerate(json.loads(arguments.phases)):
        message = good if kind == 'good' else garbage
        due = begin + offset_s
        begin += seconds
        while rate and due < begin:
            time.sleep(max(0.0, due - time.time()))
            due += 1 / rate
            now = time.time_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            publisher.publish(message)
            stamps.append((number, now))
    time.sleep(max(0.0, begin - time.time()) + 1.0)
    return {'stamps': stamps}


def results(node, arguments) -> dict:
    """Until the end, and a little longer."""
    heard = [
        node.create_subscription(
            Detection2DArray, topic, print, QoSProfile(depth=10), callback_group=OwnThread(),
            raw=True,
        )
        for topic in arguments.topics
    ]  # fmt: skip
    wait = ImageWait(node.context, [one.handle for one in heard])
    arrivals = [{} for _ in heard]
    while time.time() < arguments.end + 1.0:
        wait.wait(0.2)
        now = time.time_ns()
        for one, found in zip(heard, arrivals, strict=True):
            while True:
                with one.handle:
                    taken = one.handle.take_message(Detection2DArray, True)
                if taken is None:
                    break
                seconds, nanoseconds = STAMP.unpack_from(taken[0], 4)
                found[seconds * 10**9 + nanoseconds] = now
    return {'arrivals': [list(found.items()) for found in arrivals]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('role', choices=('camera', 'results'))
    parser.add_argument('--topic')
    parser.add_argument('--topics', nargs='*')
    parser.add_argument('--size', default='640x480')
    parser.add_argument('--phases', help='JSON')
    parser.add_argument('--begin', type=float, help='seconds since 1970')
    parser.add_argument('--end', type=float)
    arguments = parser.parse_args()
    keep_freed_memory()
    rclpy.init()
    node = rclpy.create_node(f'probe_{arguments.role}')
    print(json.dumps({'camera': camera, 'results': results}[arguments.role](node, arguments)))
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
