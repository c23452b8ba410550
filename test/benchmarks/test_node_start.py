"""How the figures of starts become a table."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture(scope='module')
def node_start(benchmark_module):
    return benchmark_module('node_start')


def spent(processor_s: float, wall_s: float) -> dict:
    return {'processor_s': processor_s, 'wall_s': wall_s}


def test_medians_and_the_ratio_over_the_floor(node_start):
    floors = [{'rclpy': spent(0.1, 0.2), 'active': spent(s, 0.5)} for s in (0.2, 0.9, 0.2)]
    nodes = [{'active': spent(0.3, w), 'result': spent(0.4, 0.8)} for w in (0.6, 0.7, 5.0)]
    rows = [
        node_start.row('camera_node', 'floor', floors),
        node_start.row('camera_node', 'now', nodes),
    ]
    assert rows[1]['starts'] == 3
    *_, floor, now = node_start.table(rows).splitlines()
    assert floor == '| camera_node | floor | 0.20 | 1.00 | 0.50 |  |  |'
    assert now == '| camera_node | now | 0.30 | 1.50 | 0.70 | 0.40 | 0.80 |'


def test_a_node_that_tells_nothing_is_named(node_start, monkeypatch):
    monkeypatch.setattr(node_start, 'CHILD', '-c')
    with pytest.raises(node_start.CaseFailed, match='floor tells nothing'):
        node_start.started(['floor'], {})
