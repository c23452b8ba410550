"""The rows of an endurance run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

HOUR_S = 3600.0


@pytest.fixture(scope='module')
def endurance(benchmark_module):
    for name in (
        'memory_growth',
        'endurance_storm',
        'endurance_graph',
        'endurance_probe',
        'endurance_events',
    ):
        benchmark_module(name)
    return benchmark_module('endurance_report')


def looked_at(endurance, begin_s, end_s, private_mb_at, every_s=30.0):
    times = [begin_s + k * every_s for k in range(int((end_s - begin_s) / every_s) + 1)]
    return [endurance.Sample(t, 200.0, private_mb_at(t), 25, 20) for t in times]


def graph_of(samples, loads=()):
    return SimpleNamespace(samples=samples, loads=list(loads))


def test_nothing_seen_has_no_rows(endurance):
    phase = endurance.Phase('calm', 0.0, HOUR_S, {})
    assert endurance.memory_rows(graph_of({}), {}, [phase]) == []
    rows = endurance.course_rows(graph_of({}), [], phase)
    assert {row['load'] for row in rows} == {''}
    assert endurance.course_rows(graph_of({}), [], endurance.Phase('calm', 0.0, 60.0, {})) == []


def test_the_course_of_memory_is_told_beside_the_load_and_the_images_that_wait(endurance):
    samples = {
        ('overlay_node', 1): looked_at(endurance, 0.0, HOUR_S, lambda t: 100.0 + 10 * (t >= 1800))
    }
    loads = [(60.0, 1.0), (120.0, 3.0), (3000.0, 9.0)]
    rows = endurance.course_rows(
        graph_of(samples, loads), [(10.0, 2.0)], endurance.Phase('calm', 0.0, HOUR_S, {})
    )
    assert [row['minute'] for row in rows] == list(range(0, 60, 5))
    assert [row['overlay_node (1)'] for row in rows] == [100.0] * 6 + [110.0] * 6
    assert (rows[0]['load'], rows[10]['load'], rows[1]['load']) == (2.0, 9.0, '')
    assert (rows[0]['images that wait'], rows[1]['images that wait']) == (2.0, '')


def test_a_process_that_lived_for_a_small_part_of_the_phase_has_no_column(endurance):
    samples = {
        ('camera_node', 1): looked_at(endurance, 0.0, 900.0, lambda t: 90.0),
        ('camera_node', 2): looked_at(endurance, 900.0, HOUR_S, lambda t: 90.0),
    }
    rows = endurance.course_rows(graph_of(samples), [], endurance.Phase('calm', 0.0, HOUR_S, {}))
    assert 'camera_node (1)' not in rows[0]
    assert 'camera_node (2)' in rows[0]


@pytest.mark.parametrize(('mb_per_hour', 'found'), [(0.0, 0), (1.5, 0), (10.0, 1)])
def test_a_process_that_gains_memory_is_a_target_missed(endurance, mb_per_hour, found):
    samples = {
        ('overlay_node', 1): looked_at(
            endurance, 0.0, HOUR_S, lambda t: 100 + mb_per_hour * t / HOUR_S
        )
    }
    phase = endurance.Phase('calm', 0.0, HOUR_S, {})
    report = {
        'command': 'python benchmarks/endurance.py',
        'machine': '2 cores.',
        'load average': [0.0, 0.0],
        'started': True,
        'phases': [{'phase': 'calm', 'minutes': 60.0}],
        'events': [],
        'memory': endurance.memory_rows(graph_of(samples), {}, [phase]),
        'course': endurance.course_rows(graph_of(samples), [], phase),
        'crashes': [],
        'logs_with_traceback': [],
        'abandoned_shared_memory_mb': {},
    }
    report['missed'] = endurance.missed(report)
    assert len(report['missed']) == found
    assert ('gains' in endurance.markdown(report)) == bool(found)
