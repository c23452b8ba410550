"""The floor: a node that answers every image with an empty Detection2DArray.

    python benchmarks/do_nothing_node.py [--spin executor|events|own-thread] [--keep-memory]

`executor` is rclpy.spin, what a node does that knows no better; `events` rclpy's events executor,
where the distribution has it (Kilted); `own-thread` waits for images as this package does.
"""

import argparse
import contextlib

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

NEWEST = QoSProfile(depth=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--spin', choices=('executor', 'events', 'own-thread'), default='executor')
    parser.add_argument('--keep-memory', action='store_true', help="as this package's nodes do")
    arguments = parser.parse_args()
    if arguments.keep_memory:
        from trt_perception.nodes.memory import keep_freed_memory

        keep_freed_memory()
    rclpy.init()
    node = rclpy.create_node('do_nothing')
    publisher = node.create_publisher(Detection2DArray, '~/detections', NEWEST)

    def answer(image: Image) -> None:
        publisher.publish(Detection2DArray(header=image.header))

    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        if arguments.spin == 'own-thread':
            wait_alone(node, answer)
        node.create_subscription(Image, 'image', answer, NEWEST)
        if arguments.spin == 'events':
            from rclpy.experimental import EventsExecutor

            executor = EventsExecutor()
            executor.add_node(node)
            executor.spin()
        rclpy.spin(node)


def wait_alone(node: Node, answer) -> None:
    from trt_perception.nodes.image_wait import ImageWait, OwnThread

    subscription = node.create_subscription(
        Image, 'image', answer, NEWEST, callback_group=OwnThread()
    )
    wait = ImageWait(node.context, [subscription.handle])
    while rclpy.ok():
        wait.wait(0.5)
        with subscription.handle:
            taken = subscription.handle.take_message(Image, False)
        if taken is not None:
            answer(taken[0])


if __name__ == '__main__':
    main()
