"""The table of `trt_perception top`. With nodes: test/nodes/test_overview.py."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import pytest

from trt_perception.cli.top import screen, table
from trt_perception.monitoring.node_state import NodeState

DETECT = NodeState(
    '/robot/detect', '', 'OK', 'active', 14.96, 300, 100, 12.34, 20.06, 0.0131,
    'street', 'tensorrt', 'fp16', '37% 61 °C', '43%', '210 MiB',
)  # fmt: skip


def cells(states) -> list[list[str]]:
    return [line.split() for line in table(states).splitlines()]


def test_no_nodes_leave_the_titles():
    [titles] = cells([])
    assert titles == [
        'node', 'state', 'rate', 'dropped', 'p50', 'p99', 'age', 'GPU', 'CPU', 'RSS',
        'model', 'precision', 'engine',
    ]  # fmt: skip


def test_a_node_shows_all_its_figures_with_units():
    _, row = cells([DETECT])
    assert ' '.join(row) == (
        '/robot/detect OK 15.0 Hz 100 (25%) 12.3 ms 20.1 ms 13.1 ms '
        '37% 61 °C 43% 210 MiB street fp16 tensorrt'
    )


def test_what_a_node_does_not_say_is_a_dash():
    _, row = cells([NodeState('/a')])
    assert ' '.join(row) == '/a - - 0' + ' -' * 9


def test_cameras_stand_below_their_node_and_bad_news_below_the_table():
    front = NodeState('/rig', 'front', 'STALE', 'no image on /front/image for 6 s')
    lines = table([NodeState('/rig', state='OK', message='active'), front]).splitlines()
    assert lines[2].startswith('  front  STALE')
    assert lines[3:] == ['', 'STALE  /rig front: no image on /front/image for 6 s']


def test_a_result_of_long_ago_is_told_by_its_age_and_has_no_latencies():
    """What a silent camera took when it was last heard says nothing of now."""
    [_, fresh] = cells([replace(DETECT, since_result_s=4.9)])
    assert fresh == cells([DETECT])[1]
    [_, row] = cells([replace(DETECT, rate_hz=0.0, since_result_s=42.0)])
    assert ' '.join(row) == (
        '/robot/detect OK 0.0 Hz 100 (25%) - - 42.0 s 37% 61 °C 43% 210 MiB street fp16 tensorrt'
    )
    [_, row] = cells([replace(DETECT, since_result_s=10000.0)])
    assert '2.8 h' in ' '.join(row)
    [_, row] = cells([replace(DETECT, age_s=math.nan, since_result_s=42.0)])
    assert row[6:10] == ['-', '-', '-', '37%'], 'images without a stamp'
    [_, row] = cells([replace(DETECT, rate_hz=0.0)])
    assert row[6:10] == ['-', '-', '-', '37%'], 'of a camera whose node is inactive'


def test_an_age_by_another_clock_is_short():
    [_, row] = cells([replace(DETECT, age_s=1.7e9)])
    assert '53.9 years' in ' '.join(row)
    [_, row] = cells([replace(DETECT, age_s=-90.0)])
    assert '-90.0 s' in ' '.join(row), 'ahead of the clock'


def test_what_a_node_says_of_its_camera_is_said_once():
    text = 'some frames cannot be used: image on /front/image left out: it is empty'
    node, front = NodeState('/rig', '', 'WARN', text), NodeState('/rig', 'front', 'WARN', text)
    left = NodeState('/rig', 'left', 'STALE', 'no image on /left/image yet')
    other = NodeState('/other', 'front', 'WARN', text)
    lines = table([node, front, left, other]).splitlines()[5:]
    assert lines == [
        '',
        f'WARN  /rig: {text}',
        'STALE  /rig left: no image on /left/image yet',
        f'WARN  /other front: {text}',
    ]


@pytest.mark.parametrize(
    ('message', 'shown'),
    [
        ('active', 'OK'),
        ('', 'OK'),
        ('inactive', 'inactive'),
        ('unconfigured', 'unconfigured'),
        ('active, paused by ~/enable', 'paused'),
        ('inactive, paused by ~/enable', 'inactive'),
        ('paused', 'paused'),
    ],
)
def test_a_node_that_is_well_and_does_not_work_now_says_why(message, shown):
    [_, row] = cells([NodeState('/a', state='OK', message=message)])
    assert row[:2] == ['/a', shown]


def test_words_find_room_in_a_narrow_terminal_and_the_table_stays_whole():
    silent = NodeState('/rig', 'front', 'STALE', 'no image on /front/image for 6 s; ' * 3)
    whole, narrow = table([DETECT, silent]).splitlines(), table([DETECT, silent], 40).splitlines()
    assert narrow[:3] == whole[:3]
    assert max(map(len, narrow[3:])) <= 40
    assert ' '.join(' '.join(narrow[3:]).split()) == ' '.join(whole[4].split())


def test_a_short_terminal_says_how_many_lines_it_has_no_room_for():
    assert screen([], 80, 24) == []
    assert screen(['one', 'two'], 80, 3) == ['one', 'two']
    lines = screen(['one', 'two', 'three', 'four'], 80, 4)
    assert lines[:2] == ['one', 'two']
    assert lines[2].startswith('... 2 lines more')
    assert screen(['abcdef'], 3, 24) == ['abc']
    assert len(screen(['one', 'two'], 80, 1)) == 1


def test_what_a_narrow_terminal_has_no_room_for_is_told_without_half_an_advice():
    assert screen([str(n) for n in range(9)], columns=30, rows=4)[-1] == '... 7 lines more'


def test_without_ros_the_error_says_how_to_get_it(command):
    code = 'import sys; sys.modules["rclpy"] = None\nfrom trt_perception.cli.main import main\n'
    done = subprocess.run(
        [sys.executable, '-c', f'{code}sys.exit(main(["top", "--once"]))'],
        capture_output=True,
        text=True,
        env=command.environment,
    )
    assert done.returncode == 2
    assert 'source /opt/ros/<distribution>/setup.bash' in done.stderr
    assert 'Traceback' not in done.stderr
