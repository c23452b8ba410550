"""When a node reports: between two frames, and once a second where none come."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from rclpy.executors import SingleThreadedExecutor

from trt_perception.nodes.common_parameters import NodeParameters
from trt_perception.nodes.lifecycle import PerceptionNode


class Reporter(PerceptionNode):
    def __init__(self, **arguments):
        self.reports = 0
        super().__init__('reporter', NodeParameters, **arguments)

    def report(self):
        self.reports += 1


@pytest.fixture
def node(graph):
    node = Reporter(context=graph.context)
    for timer in node.timers:  # the test says when a second is over
        timer.cancel()
    yield node
    node.machine.close()
    node.destroy_node()


def test_without_frames_a_report_does_not_wait(node):
    node._report_times.due()
    node._report_times.due()
    assert node.reports == 2


def test_a_report_waits_for_the_end_of_the_next_frame(graph, node):
    executor = SingleThreadedExecutor(context=graph.context)
    executor.add_node(node)
    node.between_frames()
    node._report_times.due()
    assert node.reports == 0
    node.between_frames()
    assert node.reports == 0, 'it is of the executor, not of the thread that works'
    executor.spin_once(timeout_sec=20.0)
    assert node.reports == 1
    node.between_frames()
    executor.spin_once(timeout_sec=0.05)
    assert node.reports == 1
    executor.shutdown()


def test_a_report_waits_no_longer_than_for_the_next_one(node):
    node.between_frames()
    node._report_times.due()
    node._report_times.due()
    assert node.reports == 1
