"""How images travel between two processes, measured, and what to change."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys

import pytest

from trt_perception.cli.doctor import transport_json, transport_report
from trt_perception.errors import MissingDependencyError, PerceptionError
from trt_perception.nodes import transport_measurement
from trt_perception.nodes.transport import CHOICES, Transport
from trt_perception.nodes.transport_measurement import (
    DEFAULTS,
    PACKAGE,
    UNCHOSEN,
    PathFigures,
    TransportReport,
    advice,
    apart,
    measure_transport,
)

SHARED = Transport({'FASTDDS_DEFAULT_PROFILES_FILE': '/p.xml'}, 'images go through shared memory')
KEPT = Transport({}, 'transport left as it is: FASTDDS_BUILTIN_TRANSPORTS is set')


def figures(defaults_ms=1.0, ours_ms=1.0, lost=0) -> list[PathFigures]:
    return [
        PathFigures(DEFAULTS, (640, 480), 30, 0, defaults_ms, defaults_ms),
        PathFigures(PACKAGE, (640, 480), 30, lost, ours_ms, ours_ms),
    ]


def test_nothing_measured_nothing_to_change():
    assert advice([], SHARED, {}, None) == []


def test_where_the_defaults_do_as_well_nothing_is_to_change():
    assert advice(figures(), SHARED, {}, 1000) == []
    report = TransportReport('rmw', 'why', tuple(figures()), ())
    assert transport_report(report).endswith('Nothing to change.')


def test_where_the_package_gains_the_camera_is_to_be_started_likewise():
    [text] = advice(figures(defaults_ms=90.0, ours_ms=4.0), SHARED, {}, None)
    assert 'export FASTDDS_DEFAULT_PROFILES_FILE=/p.xml' in text


def test_a_choice_of_the_user_that_loses_images_is_named():
    [text] = advice(figures(lost=3), KEPT, {}, None)
    assert 'FASTDDS_BUILTIN_TRANSPORTS is set' in text


def test_what_a_choice_of_the_user_costs_is_told_with_figures():
    environment = {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}
    without = PathFigures(UNCHOSEN, (640, 480), 30, 0, 1.0, 2.0)
    assert advice([*figures(ours_ms=1.4), without], KEPT, environment, None) == []
    [text] = advice([*figures(ours_ms=12.0), without], KEPT, environment, None)
    assert text.startswith('FASTDDS_BUILTIN_TRANSPORTS is your choice and stands')
    assert 'with it: 12.0 ms, 0 of 30 lost; without it: 1.0 ms, 0 of 30 lost. Unset' in text
    silent = PathFigures(PACKAGE, (640, 480), 30, 30, math.nan, math.nan)
    texts = advice([*figures()[:1], silent, without], KEPT, environment, None)
    assert any('with it: none arrives, 30 of 30 lost; without' in text for text in texts)


def test_a_choice_for_cyclone_dds_is_kept_behind_the_packages():
    """Most name a network interface, which others need."""
    environment = {
        'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp',
        'CYCLONEDDS_URI': 'file:///robot.xml',
        'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4',
    }
    without = PathFigures(UNCHOSEN, (640, 480), 30, 0, 1.0, 2.0)
    kept = Transport({}, 'transport left as it is: CYCLONEDDS_URI is set')
    [text] = advice([*figures(ours_ms=12.0), without], kept, environment, None)
    assert text.startswith('CYCLONEDDS_URI is your choice and stands')
    assert 'Unset' not in text
    assert text.endswith("/config/cyclonedds.xml,file:///robot.xml'")
    assert "export CYCLONEDDS_URI='file:///" in text


def test_with_cyclone_dds_those_who_take_images_need_the_room():
    room = Transport({'CYCLONEDDS_URI': 'file:///c.xml'}, 'images go through sockets')
    cyclone = {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    [text] = advice(figures(defaults_ms=90.0, ours_ms=4.0), room, cyclone, None)
    assert 'whatever else takes images' in text
    assert 'export CYCLONEDDS_URI=file:///c.xml' in text


def test_shared_memory_without_room_is_told_though_nothing_is_lost():
    full = Transport({}, 'transport left as it is: /dev/shm has 60 MiB free, 2 processes need 144')
    [text] = advice(figures(), full, {}, None)
    assert text == (
        'Images go by sockets: transport left as it is: /dev/shm has 60 MiB free, 2 processes '
        'need 144'
    )


def test_sockets_that_are_too_small_are_named_where_images_go_through_them():
    cyclone = {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    [text] = advice(figures(), KEPT, cyclone, 212992)
    assert 'sudo sysctl -w net.core.rmem_max=8388608' in text
    assert advice(figures(), KEPT, cyclone, 2**24) == []


def test_of_zenoh_no_room_in_sockets_is_asked_for():
    """It sends by TCP, whose room is not bounded by rmem_max."""
    zenoh = {'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'}
    assert advice(figures(), KEPT, zenoh, 212992) == []
    assert not any('rmem_max' in text for text in advice(figures(lost=3), KEPT, zenoh, 212992))


def test_images_travel_between_two_processes():
    pytest.importorskip('rclpy', reason='needs ROS 2: make test')
    # Other tests of this process may have chosen a transport for it.
    plain = {name: text for name, text in os.environ.items() if name not in CHOICES}
    report = measure_transport(plain, sizes=((160, 120),), frames=15, rate_hz=30.0)
    assert [one.settings for one in report.figures] == [DEFAULTS, PACKAGE]
    assert [one.sent for one in report.figures] == [10, 10]
    ours = report.figures[1]
    assert ours.lost < ours.sent  # a busy machine may lose some
    assert 0 < ours.p50_ms < 1000
    assert '160x120' in transport_report(report)


def test_a_choice_of_the_user_is_measured_beside_what_there_would_be(monkeypatch):
    asked = []

    def measure(settings, size, variables, ours, frames, rate_hz):
        asked.append((settings, 'FASTDDS_BUILTIN_TRANSPORTS' in variables))
        return PathFigures(settings, size, frames, 0, 1.0, 1.0)

    monkeypatch.setattr(transport_measurement, '_measure', measure)
    measure_transport({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, sizes=((16, 12),))
    assert asked == [(DEFAULTS, False), (PACKAGE, True), (UNCHOSEN, False)]
    asked.clear()
    measure_transport({'CYCLONEDDS_URI': 'of another middleware'}, sizes=((16, 12),))
    assert asked == [(DEFAULTS, False), (PACKAGE, False)]


def test_without_ros_2_it_says_so(monkeypatch, tmp_path):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(transport_measurement.sys, 'executable', str(python))
    with pytest.raises(MissingDependencyError, match='source its setup'):
        measure_transport(sizes=((16, 12),), frames=10)


def test_an_end_that_does_not_finish_takes_the_other_one_with_it(monkeypatch):
    monkeypatch.setattr(transport_measurement, '_LIMIT_S', 0.2)
    hanging, other = (started('import time; time.sleep(60)') for _ in range(2))
    with pytest.raises(PerceptionError, match='has not finished'):
        transport_measurement._answer(hanging, [other])
    assert (hanging.poll(), other.poll()) == (-signal.SIGKILL, -signal.SIGKILL)


def test_an_end_whose_last_line_is_no_answer_is_told():
    with pytest.raises(PerceptionError, match='image path failed: of the middleware'):
        transport_measurement._answer(
            started('import sys; print("a word"); print("of the middleware", file=sys.stderr)'), []
        )


@pytest.mark.parametrize(
    ('number', 'words'), [(signal.SIGBUS, 'by SIGBUS.*df'), (signal.SIGKILL, 'by SIGKILL$')]
)
def test_an_end_that_a_signal_ended_is_told(number, words):
    program = f'import os; os.kill(os.getpid(), {int(number)})'
    with pytest.raises(PerceptionError, match=words):
        transport_measurement._answer(started(program), [])


def started(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-c', program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_images_that_never_came_have_no_latency():
    silent = PathFigures(PACKAGE, (640, 480), 30, 30, math.nan, math.nan)
    text = transport_report(TransportReport('rmw', 'why', (silent,), ('a', 'b')))
    assert '30 of 30' in text
    assert text.endswith('a\nb')


def test_figures_that_there_are_not_are_null_for_programs():
    silent = PathFigures(PACKAGE, (640, 480), 30, 30, math.nan, math.nan)
    [figure] = json.loads(transport_json(TransportReport('rmw', 'why', (silent,), ())))['figures']
    assert (figure['p50_ms'], figure['lost']) == (None, 30)


def test_containers_that_share_the_network_alone_are_named_with_their_remedy():
    assert apart({}, 0) == []
    [text] = apart({'ROS_DOMAIN_ID': '7'}, 1)
    assert 'ROS domain 7 has 1 process in this network' in text
    assert '--ipc=host' in text
    assert apart({'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, 1) == []
    assert apart({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, 1) == []
