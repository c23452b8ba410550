"""A node without a single topic, by which a process is in the graph before its own node is made."""

from __future__ import annotations

from typing import Any

# Now, not below: what is imported beside the middleware's threads takes more processor time.
import rclpy.node
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.utilities import get_default_context

NAME = '_starting'
"""Names with an underscore in front are left out by `ros2 node list`."""


class HiddenNode:
    """Joins the domain when it is made; rclpy must be ready.

    What rclpy makes of a node is told to all others, topic by topic, and withdrawn soon after. So
    the node is asked for beneath it, where that is as known; elsewhere it is rclpy's.
    """

    def __init__(self) -> None:
        """Join."""
        # Not the name, namespace and parameters of the node that is to come.
        own: dict[str, Any] = {'use_global_arguments': False, 'enable_rosout': False}
        context = get_default_context()
        try:
            with context.handle:
                node = rclpy_implementation.Node(NAME, '', context.handle, None, *own.values())
            self._leave = node.destroy_when_not_in_use
        except (AttributeError, TypeError):  # another number of arguments, as in Kilted
            node = rclpy.create_node(NAME, start_parameter_services=False, **own)
            self._leave = node.destroy_node

    def leave(self) -> None:
        """Take it away: another node keeps the process in the graph."""
        self._leave()
