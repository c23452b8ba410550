"""The node by which a process is in the graph early, seen from another process's node."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from trt_perception.nodes.hidden_node import NAME

_LEAN = ('humble', 'iron', 'jazzy')
"""Distributions whose rclpy makes a node with the arguments that are tried."""

JOIN = """
import sys
import rclpy
from rclpy.signals import SignalHandlerOptions
from trt_perception.nodes import hidden_node

arguments = ['program', '--ros-args', '-r', '__node:=own', '-r', '__ns:=/space']
if sys.argv[1] == 'otherwise':
    # As where rclpy makes its nodes with other arguments.
    def refuse(*arguments):
        raise TypeError('incompatible function arguments')
    hidden_node.rclpy_implementation = type('Other', (), {'Node': staticmethod(refuse)})
rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
hidden = hidden_node.HiddenNode()
print(isinstance(hidden._leave.__self__, rclpy.node.Node), flush=True)
sys.stdin.readline()
node = rclpy.create_node('own')
hidden.leave()
print('left', flush=True)
sys.stdin.readline()
rclpy.shutdown()
"""


@pytest.mark.parametrize('way', ['below', 'otherwise'])
def test_it_is_in_the_graph_without_the_names_of_the_node_to_come_and_leaves(graph, way):
    process = subprocess.Popen(
        [sys.executable, '-c', JOIN, way],
        cwd='/',
        env=graph.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        lean = way == 'below' and os.environ['ROS_DISTRO'] in _LEAN
        assert process.stdout.readline() == f'{not lean}\n'
        graph.wait_for(lambda: NAME in graph.node.get_node_names(), 'the hidden node')
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == 'left\n'
        graph.wait_for(
            lambda: (
                ('own', '/space') in graph.node.get_node_names_and_namespaces()
                and NAME not in graph.node.get_node_names()
            ),
            'the own node alone',
        )
    finally:
        process.kill()
        process.communicate()
