"""Several cameras that share one network; with source:=synthetic, cameras to try it with."""

from launch import LaunchDescription

from trt_perception.nodes.launching_cameras import launch_cameras


def generate_launch_description() -> LaunchDescription:
    return launch_cameras()
