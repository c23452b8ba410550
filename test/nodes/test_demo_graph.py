"""What the demonstration hears of its nodes; `test_demo.py` runs it as a whole."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy

from trt_perception.errors import OutputError
from trt_perception.nodes.demo_graph import DemoGraph


def test_who_cannot_make_its_bag_leaves_the_domain(graph, tmp_path, monkeypatch):
    """A process that is still in the domain at its very end can wait there for ever."""
    for name in ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE'):
        monkeypatch.setenv(name, graph.environment[name])
    contexts = []

    class Noted(rclpy.Context):
        def __init__(self) -> None:
            super().__init__()
            contexts.append(self)

    monkeypatch.setattr(rclpy, 'Context', Noted)
    with pytest.raises(OutputError, match='exists already'):
        DemoGraph(tmp_path, lambda _: None, lambda _: None)
    [context] = contexts
    assert not context.ok()
