"""A camera, by default the synthetic street, with detection, segmentation and their picture."""

from launch import LaunchDescription

from trt_perception.nodes.launching import CAMERA, DETECT, SEGMENT, launch_nodes


def generate_launch_description() -> LaunchDescription:
    return launch_nodes(CAMERA, DETECT, SEGMENT, overlay=True)
