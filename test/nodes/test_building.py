"""A node whose engine has yet to be built: it reports meanwhile, and can be stopped."""

from __future__ import annotations

import signal
import sys

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from diagnostic_msgs.msg import DiagnosticArray

from nodes.colour_networks import write_detect

SLOW_NODE = """#!{python}
# A detection node for which the engine takes as long as a file is missing.
import sys, time
from pathlib import Path
from trt_perception.errors import BuildCancelledError
from trt_perception.nodes.detect_node import DetectNode
from trt_perception.nodes.model_opening import ModelOpening
from trt_perception.nodes.running import run

class SlowOpening(ModelOpening):
    def open_one(self, name):
        watch = self.watch()
        while not Path({ready!r}).exists():
            watch.control.progress(0.34, 'timing kernels')
            if watch.control.cancelled():
                raise BuildCancelledError('the build was cancelled')
            time.sleep(0.05)
        watch.tell('the engine is there')
        return super().open_one(name)

class SlowNode(DetectNode):
    def __init__(self):
        super().__init__()
        self.opening = SlowOpening(self, lambda: None)

sys.exit(run(SlowNode))
"""


@pytest.fixture
def slow_node(graph, tmp_path):
    write_detect(tmp_path)
    ready = tmp_path / 'ready'
    program = tmp_path / 'slow_node'
    program.write_text(SLOW_NODE.format(python=sys.executable, ready=str(ready)))
    program.chmod(0o755)
    node = graph.start(
        str(program), f'slow_{tmp_path.name}', {'model': str(tmp_path / 'colours_detect.yaml')}
    )
    yield node, ready
    assert node.end() == 0, node.output()
    assert 'Traceback' not in node.output()


def building(graph, node):
    """What the node reports of its build. None of its services answers meanwhile."""

    def ours(message):
        [status] = message.status
        return status.name.startswith(f'{node.name}:') and 'building' in status.message

    reports = graph.collect(DiagnosticArray, '/diagnostics')
    try:
        return reports.wait(ours).status[0]
    finally:
        reports.close()


def test_it_reports_while_it_builds_and_then_runs(graph, slow_node):
    node, ready = slow_node
    status = building(graph, node)
    assert status.level == b'\x01'
    assert 'fp32: 34%, timing kernels' in status.message
    assert {v.key: v.value for v in status.values}['state'] == 'configuring'
    assert node.output().count('timing kernels') == 1, 'the log is throttled'
    ready.touch()
    node.wait_state('active')
    assert 'the engine is there' in node.output()
    assert 'building' not in node.diagnostics(lambda s: 'building' not in s.message).message


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_build(graph, slow_node, number):
    node, _ = slow_node
    building(graph, node)
    node.send(number)
    assert node.process.wait(20) == 0
    assert 'configure given up: the build was cancelled' in node.output()
    assert 'ERROR' not in node.output()


def test_int8_without_tensorrt_names_the_remedy(graph, tmp_path):
    from trt_perception.runtime.obstacles import ENGINE_BACKENDS, obstacles

    if not all(obstacles(backend) for backend in ENGINE_BACKENDS):
        pytest.skip('engines can be executed here')
    parameters = {'model': 'street_detect', 'precision': 'int8'}
    with graph.running('detect_node', 'wants_int8', parameters) as node:
        status = node.diagnostics(lambda s: s.level == b'\x02')
        assert 'not tensorrt: TensorRT is not installed: on a Jetson install' in status.message
        assert node.set('precision', 'fp32').successful
        assert node.change('configure')
