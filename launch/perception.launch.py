"""Detection, segmentation and their picture, from the images of a camera."""

from launch import LaunchDescription

from trt_perception.nodes.launching import DETECT, SEGMENT, launch_nodes


def generate_launch_description() -> LaunchDescription:
    return launch_nodes(DETECT, SEGMENT, overlay=True)
