"""Says what the images of a camera show as a whole: their class, or an embedding."""

from launch import LaunchDescription

from trt_perception.nodes.launching import CLASSIFY, launch_nodes


def generate_launch_description() -> LaunchDescription:
    return launch_nodes(CLASSIFY, overlay=False)
