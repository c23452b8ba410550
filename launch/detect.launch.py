"""Detects objects in the images of a camera."""

from launch import LaunchDescription

from trt_perception.nodes.launching import DETECT, launch_nodes


def generate_launch_description() -> LaunchDescription:
    return launch_nodes(DETECT, overlay=False)
