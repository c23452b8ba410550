"""What a node reports of itself."""

from __future__ import annotations

import math

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from builtin_interfaces.msg import Time

from trt_perception.monitoring.gpu_state import GpuState
from trt_perception.monitoring.machine_watch import Machine
from trt_perception.monitoring.process_state import ProcessState
from trt_perception.nodes.health import ERROR, OK, STALE, WARN, Condition
from trt_perception.nodes.reports import (
    Engine,
    Report,
    diagnostics_message,
    engine_values,
    machine_values,
    pipeline_values,
    stats_message,
)
from trt_perception.pipeline.statistics import PipelineStatistics

NOW = Time(sec=5, nanosec=7)


def test_nothing_has_happened():
    snapshot = PipelineStatistics().snapshot()
    message = stats_message(NOW, Engine(), snapshot, math.nan)
    assert message.header.stamp == NOW
    assert (message.frames_in, message.frames_out, message.frames_dropped) == (0, 0, 0)
    assert (message.rate_hz, list(message.stages), message.drop_causes) == (0, [], [])
    assert math.isnan(message.newest_age_s)
    assert engine_values(Engine()) == {}
    values = pipeline_values(snapshot, math.nan, '')
    assert values == {'rate': '0.0 Hz', 'frames in': '0', 'frames out': '0', 'latest error': ''}


def test_drops_by_choice_are_no_failures():
    statistics = PipelineStatistics()
    for cause in ('replaced', 'replaced', 'paused', 'corrupt', 'inference'):
        statistics.frame_dropped(cause)
    message = stats_message(NOW, Engine('street', 'cpu'), statistics.snapshot(), 0.5)
    assert message.frames_dropped == sum(message.drop_counts) == 5
    assert message.frames_failed == 2
    assert dict(zip(message.drop_causes, message.drop_counts, strict=True))['replaced'] == 2


def test_stages_keep_their_order():
    statistics = PipelineStatistics()
    statistics.frame_out({'infer': 2.0, 'decode': 1.0}, 3)
    statistics.frame_out({'infer': 4.0, 'decode': 1.0}, 4)
    [infer, decode] = stats_message(NOW, Engine(), statistics.snapshot(), 0.5).stages
    assert (infer.stage, infer.count, infer.p50_ms) == ('infer', 2, 3.0)
    assert (decode.stage, decode.p99_ms) == ('decode', 1.0)


def test_without_conditions_the_state_is_the_message():
    [status] = diagnostics_message(NOW, 'a', [Report('b', 'inactive', [], {'k': 'v'})]).status
    assert (status.name, status.level, status.message) == ('a: b', b'\x00', 'inactive')
    assert [(value.key, value.value) for value in status.values] == [('k', 'v')]


def test_the_worst_condition_comes_first_and_gives_the_level():
    conditions = [Condition(OK, 'active'), Condition(ERROR, 'dead'), Condition(WARN, 'odd')]
    [status] = diagnostics_message(NOW, 'a', [Report('b', 'active', conditions, {})]).status
    assert status.level == b'\x02'
    assert status.message == 'dead; odd; active'


def test_an_error_outdoes_silence():
    conditions = [Condition(STALE, 'silent'), Condition(ERROR, 'dead')]
    [status] = diagnostics_message(NOW, 'a', [Report('b', 'active', conditions, {})]).status
    assert (status.level, status.message) == (b'\x02', 'dead; silent')


def test_a_machine_that_says_nothing_leaves_no_trace():
    assert machine_values(Machine()) == {}
    assert machine_values(Machine(gpu=GpuState('a GPU'))) == {'GPU': 'a GPU'}


def test_what_the_machine_says_is_told_with_its_units():
    mib = 1 << 20
    machine = Machine(
        GpuState('a GPU', 0.37, 1024 * mib, 8192 * mib, 61.2, 44.94, 115.0),
        ProcessState(1.25, 210 * mib, 14, 40, 0.61, 90 * mib + mib // 2),
    )
    assert machine_values(machine) == {
        'CPU': '125% of a core',
        'CPU of the machine': '61%',
        'RSS': '210 MiB',
        'threads': '14',
        'open files': '40',
        'heap in use': '90.5 MiB',
        'GPU': 'a GPU',
        'GPU utilisation': '37%',
        'GPU memory': '1024 of 8192 MiB',
        'GPU temperature': '61 °C',
        'GPU power': '44.9 of 115 W',
    }


def test_a_heap_that_is_not_known_is_left_out():
    assert 'heap in use' not in machine_values(Machine(None, ProcessState(1.25, 1, 14, 40, 0.61)))


def test_every_report_is_a_status_of_its_own():
    reports = [Report(name, 'active', [], {}) for name in ('perception', 'front')]
    message = diagnostics_message(NOW, 'robot/detect_node', reports)
    assert [status.name for status in message.status] == [
        'robot/detect_node: perception',
        'robot/detect_node: front',
    ]
