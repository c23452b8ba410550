"""The floor: a node that answers every image with an empty Detection2DArray."""

import contextlib

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray


def main() -> None:
    rclpy.init()
    node = rclpy.create_node('do_nothing')
    newest = QoSProfile(depth=1)
    publisher = node.create_publisher(Detection2DArray, '~/detections', newest)

    def answer(image: Image) -> None:
        publisher.publish(Detection2DArray(header=image.header))

    node.create_subscription(Image, 'image', answer, newest)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


if __name__ == '__main__':
    main()
