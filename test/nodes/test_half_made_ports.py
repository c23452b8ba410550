"""Ports whose maker was killed do not hold others up."""

from __future__ import annotations

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


def put(folder: Path, name: str, data: bytes, age_s: float = PATIENCE_S + 1.0) -> Path:
    """A port of a given age."""
    file = folder / name
    file.write_bytes(data)
    made = time.time() - age_s
    os.utime(file, (made, made))
    return file


def test_an_empty_folder_and_none(tmp_path):
    assert HalfMadePorts(tmp_path).release() == []
    assert HalfMadePorts(tmp_path / 'missing').release() == []
    assert HalfMadePorts(tmp_path).wait_until_ready() == []


@pytest.mark.parametrize('data', NOT_READY.values(), ids=NOT_READY)
@pytest.mark.parametrize('name', ['fastrtps_port7400', 'fastdds_port7541'])
def test_one_that_never_got_ready_is_taken_away(tmp_path, name, data):
    file = put(tmp_path, name, data)
    with file.open('rb') as waiting:
        assert HalfMadePorts(tmp_path).release() == [name]
        assert not file.exists()
        # What those that wait are sent on by: a size of 1, or a word that says so.
        left = waiting.read()
    assert len(left) == 1 if len(data) < 4 else struct.unpack('=I', left[:4]) == (3,)


def test_one_that_is_ready_is_left_alone(tmp_path):
    file = put(tmp_path, 'fastrtps_port7400', READY)
    ports = HalfMadePorts(tmp_path)
    assert ports.release() == ports.release() == []
    assert file.read_bytes() == READY


def test_a_young_one_has_time_to_get_ready(tmp_path):
    file = put(tmp_path, 'fastrtps_port7400', b'', age_s=0.0)
    ports = HalfMadePorts(tmp_path)
    assert ports.release() == []
    assert ports.young == 1
    file.write_bytes(READY)
    assert ports.release() == []
    assert ports.young == 0
    assert file.read_bytes() == READY


def test_a_port_that_was_ready_and_is_made_anew_is_looked_at_again(tmp_path):
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
def test_other_files_are_left_alone(tmp_path, name):
    file = put(tmp_path, name, b'')
    assert HalfMadePorts(tmp_path).release() == []
    assert file.exists()


def test_what_is_no_file_is_left_alone(tmp_path):
    (tmp_path / 'fastrtps_port7400').mkdir()
    os.mkfifo(tmp_path / 'fastrtps_port7402')
    mine = put(tmp_path, 'mine', b'')
    (tmp_path / 'fastrtps_port7404').symlink_to(mine)
    (tmp_path / 'fastrtps_port7406').symlink_to(tmp_path / 'missing')
    before = sorted(tmp_path.iterdir())
    for path in before[:2]:
        os.utime(path, (0, 0))
    assert HalfMadePorts(tmp_path).release() == []
    assert sorted(tmp_path.iterdir()) == before
    assert mine.read_bytes() == b''


def test_of_several_that_look_at_once_one_takes_it_away(tmp_path):
    looks = [HalfMadePorts(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(len(looks)) as pool:
        for _ in range(20):
            put(tmp_path, 'fastrtps_port7400', b'')
            released = pool.map(HalfMadePorts.release, looks)
            assert list(itertools.chain(*released)) == ['fastrtps_port7400']


def test_waiting_ends_when_the_last_one_is_ready_or_taken_away(tmp_path):
    late = put(tmp_path, 'fastrtps_port7400', b'', age_s=0.0)
    put(tmp_path, 'fastrtps_port7402', b'', age_s=0.0)
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
    # Other nodes of this machine let these be meanwhile.
    ports = {
        put(SHARED_MEMORY, f'fastrtps_port{first + 2 * participant}', b'', age_s=-60.0)
        for participant in range(4)
    }
    for port in ports:
        # By the lock file of a process that was killed the port would be told from a new one.
        port.with_name(f'{port.name}_el').unlink(missing_ok=True)
    stranger = subprocess.Popen(
        [sys.executable, '-c', STRANGER], env=environment, stdout=subprocess.PIPE, text=True
    )
    node = None
    try:
        wait_until(lambda: ports.intersection(opened(stranger.pid)), 'the stranger at a port')
        time.sleep(0.5)
        assert ports.intersection(opened(stranger.pid))
        for port in ports:
            os.utime(port, (0, 0))
        node = subprocess.Popen(
            [str(CAMERA), '--ros-args', '-p', 'autostart:=false'],
            env={**environment, 'XDG_RUNTIME_DIR': str(tmp_path)},
        )
        assert read_line(stranger, 20.0) == 'joined\n'
    finally:
        for process in filter(None, (stranger, node)):
            process.kill()
            process.wait()
        stranger.stdout.close()
        for port in ports:
            port.unlink(missing_ok=True)


def read_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    """The next line that it prints; '' if none comes."""
    lines, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline() if lines else ''
