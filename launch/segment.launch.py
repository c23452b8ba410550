"""Finds the class or the object of every pixel in the images of a camera."""

from launch import LaunchDescription

from trt_perception.nodes.launching import SEGMENT, launch_nodes


def generate_launch_description() -> LaunchDescription:
    return launch_nodes(SEGMENT, overlay=False)
