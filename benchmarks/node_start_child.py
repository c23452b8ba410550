"""The processes that node_start.py starts: a node that tells what its start cost, and others.

    node_start_child.py node BEGUN MODULE CLASS [ros arguments]
    node_start_child.py floor BEGUN [model.onnx]
    node_start_child.py images

`BEGUN` is the monotonic clock when the process was started, seconds. The first two print one JSON
object and end. Nothing but the standard library is imported before what is measured.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from types import ModuleType


def spent(begun_s: float) -> dict[str, float]:
    """Seconds since `begun_s`, and of processors that this process and its children took."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = time.process_time() + children.ru_utime + children.ru_stime
    return {'wall_s': time.monotonic() - begun_s, 'processor_s': processor_s}


class Telling(ModuleType):
    """Stands beside the modules of the nodes; its nodes tell when they are active and work."""

    def __init__(self, begun_s: float, module: str) -> None:
        super().__init__('trt_perception.nodes.telling')
        self._begun_s = begun_s
        self._module = module

    def __getattr__(self, name: str) -> type:
        """The class of this name in the module, imported when the node's start asks for it."""
        if name.startswith('__'):
            raise AttributeError(name)
        node = getattr(importlib.import_module(f'trt_perception.nodes.{self._module}'), name)
        statistics = importlib.import_module('trt_perception.pipeline.statistics')
        begun_s, told = self._begun_s, {}

        class Told(node):
            def trigger_activate(self):
                done = super().trigger_activate()
                told['active'] = spent(begun_s)
                return done

        frame_out = statistics.PipelineStatistics.frame_out

        def telling_frame_out(*arguments):
            frame_out(*arguments)
            if 'result' not in told:
                told['result'] = spent(begun_s)
                print(json.dumps(told), flush=True)
                os.kill(os.getpid(), signal.SIGINT)

        statistics.PipelineStatistics.frame_out = telling_frame_out
        return Told


def node(begun_s: float, module: str, name: str) -> int:
    """Start a node as its program does, and end at its first result."""
    telling = Telling(begun_s, module)
    sys.modules[telling.__name__] = telling
    sys.argv = sys.argv[:1] + sys.argv[5:]
    from trt_perception.nodes.starting import start

    return start('telling', name)


def floor(begun_s: float, model: str) -> int:
    """What no node in Python does without: rclpy, a node that has joined, numpy and OpenCV.

    With a model also onnxruntime, a session, and one inference.
    """
    import rclpy

    rclpy.init()
    joined = rclpy.create_node('floor')
    rclpy_alone = spent(begun_s)
    import cv2
    import numpy as np

    assert cv2.__version__
    if model:
        import onnxruntime

        session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
        [image] = session.get_inputs()
        shape = [extent if isinstance(extent, int) else 1 for extent in image.shape]
        dtype = np.uint8 if 'uint8' in image.type else np.float32
        session.run(None, {image.name: np.zeros(shape, dtype)})
    print(json.dumps({'rclpy': rclpy_alone, 'active': spent(begun_s)}), flush=True)
    joined.destroy_node()
    rclpy.shutdown()
    return 0


def images() -> int:
    """Publish images, and look at pictures, until the process is ended."""
    import array

    import rclpy
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image

    rclpy.init()
    source = rclpy.create_node('images')
    message = Image(height=480, width=640, encoding='bgr8', step=640 * 3)
    message.data = array.array('B', bytes([90, 120, 60] * 640 * 480))
    publisher = source.create_publisher(Image, 'image', QoSProfile(depth=1))

    def publish() -> None:
        message.header.stamp = source.get_clock().now().to_msg()
        publisher.publish(message)

    source.create_timer(1 / 15, publish)
    source.create_subscription(Image, 'overlay_node/overlay', lambda _: None, QoSProfile(depth=1))
    rclpy.spin(source)
    return 0


if __name__ == '__main__':
    role, *rest = sys.argv[1:]
    if role == 'images':
        sys.exit(images())
    if role == 'floor':
        sys.exit(floor(float(rest[0]), rest[1] if len(rest) > 1 else ''))
    sys.exit(node(float(rest[0]), *rest[1:3]))
