"""Ports whose maker was killed do not hold others up."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import select
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from ament_index_python.packages import get_package_prefix

from nodes.middleware import fast_dds
from nodes.ports import opened, wait_until
from trt_perception.cli.isolation import isolated
from trt_perception.nodes import half_made_ports
from trt_perception.nodes.half_made_ports import PATIENCE_S, HalfMadePorts
from trt_perception.nodes.transport import SHARED_MEMORY

CAMERA = Path(get_package_prefix('trt_perception')) / 'lib/trt_perception/camera_node'
STRANGER = """
import rclpy
rclpy.init()
rclpy.create_node('stranger')
print('joined', flush=True)
"""
NOT_READY = {
    'nothing': b'',
    'no room for a word': b'\0',
    'untouched': bytes(4096),
    'begun': struct.pack('=I', 1) + bytes(4092),
    'broken': struct.pack('=I', 3) + bytes(4092),
}
READY = struct.pack('=I', 2) + bytes(4092)


def put(folder: Path, name: str, data: bytes) -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


@pytest.fixture
def impatient(monkeypatch):
    """What is not ready is released at once."""
    monkeypatch.setattr(half_made_ports, 'PATIENCE_S', 0.0)


def test_an_empty_folder_and_none(tmp_path):
    assert HalfMadePorts(tmp_path).release() == []
    assert HalfMadePorts(tmp_path / 'missing').release() == []
    assert HalfMadePorts(tmp_path).wait_until_ready() == []


@pytest.mark.parametrize('data', NOT_READY.values(), ids=NOT_READY)
@pytest.mark.parametrize('name', ['fastrtps_port7400', 'fastdds_port7541'])
def test_one_that_never_got_ready_is_taken_away(tmp_path, name, data, impatient):
    file = put(tmp_path, name, data)
    with file.open('rb') as waiting:
        assert HalfMadePorts(tmp_path).release() == [name]
        assert not file.exists()
        # What those that wait are sent on by: a size of 1, or a word that says so.
        left = waiting.read()
    assert len(left) == 1 if len(data) < 4 else struct.unpack('=I', left[:4]) == (3,)


def test_one_that_is_ready_is_left_alone(tmp_path, impatient):
    file = put(tmp_path, 'fastrtps_port7400', READY)
    ports = HalfMadePorts(tmp_path)
    assert ports.release() == ports.release() == []
    assert file.read_bytes() == READY


def test_a_young_one_has_time_to_get_ready(tmp_path):
    file = put(tmp_path, 'fastrtps_port7400', b'')
    ports = HalfMadePorts(tmp_path)
    assert ports.release() == []
    assert ports.young == 1
    file.write_bytes(READY)
    assert ports.release() == []
    assert ports.young == 0
    assert file.read_bytes() == READY


def test_its_time_begins_when_it_is_seen_first(tmp_path, monkeypatch):
    """Whatever the clocks on the wall say, which may have been set back meanwhile."""
    file = put(tmp_path, 'fastrtps_port7400', b'')
    os.utime(file, (0, 0))
    ports = HalfMadePorts(tmp_path)
    assert ports.release() == []
    monkeypatch.setattr(half_made_ports, 'PATIENCE_S', 0.05)
    time.sleep(0.1)
    assert ports.release() == ['fastrtps_port7400']
    assert ports.young == 0


@pytest.mark.skipif(os.geteuid() == 0, reason='root may do everything')
def test_what_may_not_be_removed_holds_nobody_up(tmp_path):
    put(tmp_path, 'fastrtps_port7400', b'').chmod(0o444)
    ports = HalfMadePorts(tmp_path)
    began = time.monotonic()
    assert ports.wait_until_ready() == []
    assert time.monotonic() - began < PATIENCE_S + 1.0
    assert ports.wait_until_ready() == []
    assert ports.young == 0


def test_a_port_that_was_ready_and_is_made_anew_is_looked_at_again(tmp_path, impatient):
    file = put(tmp_path, 'fastrtps_port7400', READY)
    ports = HalfMadePorts(tmp_path)
    ports.release()
    put(tmp_path, 'new', b'').rename(file)
    assert ports.release() == ['fastrtps_port7400']


@pytest.mark.parametrize(
    'name',
    [
        'fastrtps_port7400_el',
        'sem.fastrtps_port7400_mutex',
        'fastrtps_0123456789abcdef',
        'fastrtps_port',
        'my_fastrtps_port7400',
    ],
)
def test_other_files_are_left_alone(tmp_path, name, impatient):
    file = put(tmp_path, name, b'')
    assert HalfMadePorts(tmp_path).release() == []
    assert file.exists()


def test_what_is_no_file_is_left_alone(tmp_path, impatient):
    (tmp_path / 'fastrtps_port7400').mkdir()
    os.mkfifo(tmp_path / 'fastrtps_port7402')
    mine = put(tmp_path, 'mine', b'')
    (tmp_path / 'fastrtps_port7404').symlink_to(mine)
    (tmp_path / 'fastrtps_port7406').symlink_to(tmp_path / 'missing')
    before = sorted(tmp_path.iterdir())
    assert HalfMadePorts(tmp_path).release() == []
    assert sorted(tmp_path.iterdir()) == before
    assert mine.read_bytes() == b''


def test_of_several_that_look_at_once_one_takes_it_away(tmp_path, impatient):
    looks = [HalfMadePorts(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(len(looks)) as pool:
        for _ in range(20):
            put(tmp_path, 'fastrtps_port7400', b'')
            released = pool.map(HalfMadePorts.release, looks)
            assert list(itertools.chain(*released)) == ['fastrtps_port7400']


def test_waiting_ends_when_the_last_one_is_ready_or_taken_away(tmp_path):
    late = put(tmp_path, 'fastrtps_port7400', b'')
    put(tmp_path, 'fastrtps_port7402', b'')
    timer = threading.Timer(0.3, late.write_bytes, [READY])
    timer.start()
    began = time.monotonic()
    assert HalfMadePorts(tmp_path).wait_until_ready() == ['fastrtps_port7402']
    assert PATIENCE_S - 0.5 < time.monotonic() - began < 2.0 * PATIENCE_S + 1.0
    assert late.read_bytes() == READY


@fast_dds
def test_processes_that_wait_for_a_dead_maker_are_sent_on(graph, tmp_path):
    """The first process of a domain listens for data at the first of its ports that it can have."""
    environment = isolated(graph.environment)
    first = 7411 + 250 * int(environment['ROS_DOMAIN_ID'])
    ports = {
        put(SHARED_MEMORY, f'fastrtps_port{first + 2 * participant}', b'')
        for participant in range(4)
    }
    for port in ports:
        # By the lock file of a process that was killed the port would be told from a new one.
        port.with_name(f'{port.name}_el').unlink(missing_ok=True)
    with contextlib.ExitStack() as left_alone, contextlib.ExitStack() as started:
        started.callback(lambda: [port.unlink(missing_ok=True) for port in ports])
        # Other nodes of this machine let them be as long as one is about to release them.
        for port in ports:
            fcntl.flock(left_alone.enter_context(port.open('rb')), fcntl.LOCK_EX)
        stranger = start(started, [sys.executable, '-c', STRANGER], environment)
        wait_until(lambda: ports.intersection(opened(stranger.pid)), 'the stranger at a port')
        time.sleep(PATIENCE_S + 0.5)
        assert ports.intersection(opened(stranger.pid))
        left_alone.close()
        command = [str(CAMERA), '--ros-args', '-p', 'autostart:=false']
        start(started, command, {**environment, 'XDG_RUNTIME_DIR': str(tmp_path)})
        assert read_line(stranger, 20.0) == 'joined\n'


def start(
    started: contextlib.ExitStack, command: list[str], environment: dict[str, str]
) -> subprocess.Popen[str]:
    """A process that lives as long as `started`."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    started.callback(process.communicate)
    started.callback(process.kill)
    return process


def read_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    """The next line that it prints; '' if none comes."""
    lines, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline() if lines else ''
