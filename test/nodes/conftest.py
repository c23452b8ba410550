"""One ROS graph for all node tests of a process."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='session')
def graph(tmp_path_factory):
    """A ROS domain of our own with a probe node in it."""
    pytest.importorskip('rclpy', reason='needs ROS 2: make test')
    from nodes.graph import Graph, own_domain

    with own_domain() as domain:
        graph = Graph(domain, tmp_path_factory.mktemp('ros_logs'))
        yield graph
        graph.close()
