"""For comparison: the usual node, whose subscription queues images and whose callback works.

python benchmarks/queue_node.py MODEL DEPTH THREADS
"""

import contextlib
import sys

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from trt_perception.frames import Frame
from trt_perception.nodes.memory import keep_freed_memory
from trt_perception.nodes.messages import DetectionMessages
from trt_perception.pipeline.perception import open_pipeline


def main() -> None:
    model, depth, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    keep_freed_memory()
    rclpy.init()
    node = rclpy.create_node('queue_node')
    pipeline = open_pipeline(model, backend='onnxruntime-cpu', threads=threads)
    publisher = node.create_publisher(Detection2DArray, '~/detections', QoSProfile(depth=10))
    messages, names = DetectionMessages(), pipeline.spec.class_names

    def answer(image: Image) -> None:
        data = np.frombuffer(image.data, np.uint8)
        frame = Frame(data, image.height, image.width, image.step, image.encoding)
        [perceived] = pipeline.process([frame])
        publisher.publish(messages.build(perceived.result, names, image.header))

    node.create_subscription(Image, 'image', answer, QoSProfile(depth=depth))
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


if __name__ == '__main__':
    main()
