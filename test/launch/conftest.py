"""The ROS graph of the node tests, here too."""

from nodes.conftest import graph

__all__ = ['graph']
