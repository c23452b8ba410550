"""What Prometheus is told, asked over a real connection."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from prometheus_client.parser import text_string_to_metric_families
from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import write_detect
from nodes.graph import Camera, bgr_image
from nodes.scenes import scene, three_boxes
from trt_perception.monitoring.gpu_state import GpuState
from trt_perception.monitoring.machine_watch import Machine
from trt_perception.monitoring.process_state import ProcessState
from trt_perception.nodes.health import WARN, Condition
from trt_perception.nodes.metrics import LIFE_CYCLE, Metrics, Told
from trt_perception.nodes.reports import Engine, Report
from trt_perception.pipeline.statistics import PipelineStatistics


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def asked(port: int) -> dict[tuple[str, ...], float]:
    """The answer of a port, by the name, the node, and the values of the other labels."""
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=5) as answer:
        text = answer.read().decode()
    return {
        key_of(sample): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key_of(sample) -> tuple[str, ...]:
    labels = dict(sorted(sample.labels.items()))
    return (sample.name.removeprefix('trt_perception_'), labels.pop('node'), *labels.values())


def state_of(graph, port: int, state: str) -> bool:
    """Wait until the node /asked is told to be in this state and in no other."""

    def told() -> bool:
        found = asked(port)
        return [each for each in LIFE_CYCLE if found['lifecycle_state', '/asked', each]] == [state]

    return graph.wait_for(told, state)


@pytest.fixture
def metrics():
    metrics = Metrics()
    yield metrics
    metrics.close()


def report(subject: str, drops: dict[str, int], conditions=()) -> Report:
    statistics = PipelineStatistics()
    statistics.frame_in(9)
    statistics.frame_out({'infer': 2.0, 'since_stamp': 40.0}, 1)
    for cause, count in drops.items():
        statistics.frame_dropped(cause, count)
    return Report(subject, 'active', conditions, {}, statistics.snapshot(), 0.04)


def test_port_zero_is_nobody(metrics):
    metrics.open(0)
    assert metrics.trouble == ''
    assert list(metrics.collect()) == []


def test_before_the_first_report_the_answer_is_empty(metrics):
    port = free_port()
    metrics.open(port)
    assert asked(port) == {}


def test_a_node_without_figures_says_its_state_only(metrics):
    port = free_port()
    metrics.open(port)
    metrics.tell(
        Told('/a', Engine(), [Report('perception', 'inactive', [], {})], Machine(), 'inactive')
    )
    found = asked(port)
    assert found.pop(('state', '/a', '')) == 0.0
    assert {key[0] for key in found} == {'lifecycle_state'}


@pytest.mark.parametrize('state', LIFE_CYCLE)
def test_the_state_of_the_life_cycle_is_one_series_for_each(metrics, state):
    port = free_port()
    metrics.open(port)
    metrics.tell(Told('/a', Engine(), [report('perception', {})], Machine(), state))
    found = asked(port)
    told = {key[2]: value for key, value in found.items() if key[0] == 'lifecycle_state'}
    assert told == {each: float(each == state) for each in LIFE_CYCLE}


def test_the_figures_of_one_camera_come_in_basic_units(metrics):
    port = free_port()
    metrics.open(port)
    engine = Engine('street', 'tensorrt', '', 'fp16', 'ab12', '', 'street:fp16', 3)
    ours = report('perception', {'replaced': 7}, [Condition(WARN, 'odd')])
    machine = Machine(
        GpuState('a GPU', utilisation=0.5, temperature_c=61.0),
        ProcessState(1.25, 1000, 14, 40, 0.6, 600),
    )
    metrics.tell(Told('/robot/detect', engine, [ours], machine, 'active'))
    found = asked(port)
    node = '/robot/detect'
    assert found['state', node, ''] == WARN
    assert found['engine_info', node, 'tensorrt', 'ab12', 'street', 'fp16', 'street:fp16'] == 1
    assert found['variant_moves_total', node] == 3
    assert found['frames_in_total', node, ''] == 9
    assert found['frames_dropped_total', node, '', 'replaced'] == 7
    assert found['stage_seconds', node, '', '0.99', 'since_stamp'] == pytest.approx(0.04)
    assert found['result_age_seconds', node, ''] == 0.04
    assert found['gpu_temperature_celsius', node] == 61.0
    assert found['process_cpu_cores', node] == 1.25
    assert found['process_heap_bytes', node] == 600
    assert ('gpu_power_watts', node) not in found


def test_of_several_cameras_each_image_counts_once(metrics):
    port = free_port()
    metrics.open(port)
    reports = [report(name, {'lost': 1}) for name in ('perception', 'front', 'left')]
    metrics.tell(Told('/a', Engine(), reports, Machine(), 'active'))
    found = asked(port)
    assert {key[2] for key in found if key[0] == 'frames_in_total'} == {'front', 'left'}
    assert {key[2] for key in found if key[0] == 'state'} == {'', 'front', 'left'}


def test_an_age_that_is_not_known_is_no_number(metrics):
    port = free_port()
    metrics.open(port)
    snapshot = PipelineStatistics().snapshot()
    ours = Report('perception', 'active', [], {}, snapshot, math.nan)
    metrics.tell(Told('/a', Engine(), [ours], Machine(), 'active'))
    assert math.isnan(asked(port)['result_age_seconds', '/a', ''])


def test_a_port_that_is_taken_is_told_and_free_again_after_the_end(metrics):
    port = free_port()
    metrics.open(port)
    other = Metrics()
    other.open(port)
    assert f'127.0.0.1:{port}' in other.trouble
    assert 'set another one' in other.trouble
    metrics.close()
    other.open(port)
    assert other.trouble == ''
    assert asked(port) == {}
    other.close()


def test_without_the_library_the_error_names_the_extra():
    code = (
        'import sys; sys.modules["prometheus_client"] = None\n'
        'from trt_perception.nodes.metrics import Metrics\n'
        'Metrics().open(0)\n'
        'Metrics().open(9999)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd='/')
    assert "MissingDependencyError: metrics_port needs prometheus-client: pip install 'trt_" in (
        done.stderr
    )


def test_a_node_answers_and_without_its_port_it_runs_on(graph, tmp_path):
    port = free_port()
    parameters = {'model': str(write_detect(tmp_path)), 'metrics_port': port}
    with graph.running('detect_node', 'asked', parameters) as node:
        node.wait_state('active')
        camera = Camera(graph, '/image').matched()
        answers = graph.collect(Detection2DArray, node.topic('detections'))
        picture = bgr_image(scene(320, 240, *three_boxes(320, 240)))
        camera.show(picture, answers)
        node.diagnostics(lambda s: {v.key: v.value for v in s.values}['frames out'] != '0')
        # The process is looked at for the first time a second after the start.
        process = ('process_resident_bytes', '/asked')
        graph.wait_for(lambda: process in asked(port), 'figures of the process')
        found = asked(port)
        assert found['frames_out_total', '/asked', ''] >= 1
        assert found['stage_seconds', '/asked', '', '0.5', 'since_stamp'] > 0
        assert found[process] > 1e7
        assert state_of(graph, port, 'active')
        node.enable(False)
        assert state_of(graph, port, 'paused')
        node.enable(True)
        assert state_of(graph, port, 'active')
        assert node.set('warn_latency', 1e-6).successful
        late = node.diagnostics(lambda s: 'warn_latency is 0 ms' in s.message)
        assert late.level in (b'\x01', b'\x03'), 'silent besides, after a while'
        assert node.change('deactivate')
        assert state_of(graph, port, 'inactive')
        assert node.change('cleanup')
        with socket.create_server(('127.0.0.1', port)):
            assert node.change('configure')
            assert node.change('activate')
            status = node.diagnostics(lambda s: f'127.0.0.1:{port}' in s.message)
            assert status.level == b'\x01'
            camera.show(picture, answers)
            assert 'set another one' in node.output()
        answers.close()
        camera.close()
