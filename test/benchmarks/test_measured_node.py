"""A node that gives no figures ends a benchmark with a sentence, and nothing is left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture(scope='module')
def measured_node(benchmark_module):
    return benchmark_module('measured_node')


@pytest.mark.parametrize(
    'script',
    [('overload.py', '--seconds', '1', '--slower', '0.01'), ('multi_camera.py', '--minutes', '0')],
    ids=lambda script: script[0],
)
def test_a_node_that_dies_ends_a_script_with_a_sentence(script, tmp_path):
    dies = tmp_path / 'detect_node'
    dies.write_text('#!/bin/sh\nexit 3\n')
    dies.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script[0]), *script[1:]],
        env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith('NOT MEASURED: the node ended with exit status 3; run it alone')
    assert 'Traceback' not in done.stderr


def test_a_status_is_passed_on(measured_node):
    assert measured_node.exit_status(lambda: 0) == 0
    assert measured_node.exit_status(lambda: 2) == 2


def test_another_error_is_no_finding(measured_node):
    def measure() -> int:
        raise KeyError('a mistake in the script')

    with pytest.raises(KeyError):
        measured_node.exit_status(measure)


def test_a_node_that_is_not_there_is_named(measured_node, capsys):
    status = measured_node.exit_status(lambda: measured_node.MeasuredNode('no_such_node -x', {}))
    assert status == 1
    assert 'no_such_node -x: cannot be started' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('content', 'timeout_s', 'says'),
    [
        ('raise SystemExit(4)', 60, 'receive gave up with exit status 4'),
        ('import time; time.sleep(60)', 0.1, 'receive did not end within 0.1 s'),
    ],
    ids=['it ends', 'it hangs'],
)
def test_a_probe_that_gives_up_is_named(measured_node, tmp_path, content, timeout_s, says):
    (tmp_path / 'probe.py').write_text(content)
    begin = time.monotonic()
    with measured_node.MeasuredNode('sleep 60', dict(os.environ)) as node:
        probe = node.probe('receive', script=str(tmp_path / 'probe.py'))
        with pytest.raises(measured_node.CaseFailed, match=says):
            node.told(probe, timeout_s)
    assert probe.poll() is not None
    assert node.process.poll() is not None
    assert time.monotonic() - begin < 30


def test_what_a_probe_tells_is_its_last_line(measured_node, tmp_path):
    (tmp_path / 'probe.py').write_text('print("waiting"); print(\'{"arrivals": {"7": 9}}\')')
    with measured_node.MeasuredNode('sleep 60', dict(os.environ)) as node:
        told = node.told(node.probe('receive', script=str(tmp_path / 'probe.py')))
    assert told == {'arrivals': {'7': 9}}


def test_figures_that_there_are_not_are_null(measured_node):
    """`NaN` is no JSON: other readers than Python's refuse the whole file."""
    as_json = measured_node.as_json
    assert json.loads(as_json({})) == {}
    report = {'rows': [{'p50_ms': float('nan'), 'lost': 3}, (float('inf'), 1.5)], 'case': 'all'}
    text = as_json(report)
    assert json.loads(text) == {'rows': [{'p50_ms': None, 'lost': 3}, [None, 1.5]], 'case': 'all'}
    assert 'NaN' not in text
