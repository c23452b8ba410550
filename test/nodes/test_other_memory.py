"""Processes of the same network that have another /dev/shm are noticed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.colour_networks import write_detect
from nodes.middleware import fast_dds
from trt_perception.nodes.other_memory import processes_elsewhere, same_machine

LINE = '  0: 00000000:{:04X} 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2\n'


def table(path: Path, *ports: int) -> Path:
    path.write_text(''.join(['  sl  local_address rem_address\n', *map(LINE.format, ports)]))
    return path


def test_nobody_at_all(tmp_path):
    assert processes_elsewhere(0, tmp_path, table(tmp_path / 'udp')) == 0


def test_without_the_table_nothing_is_said(tmp_path):
    assert processes_elsewhere(0, tmp_path / 'none', tmp_path / 'udp') == 0


def test_only_data_ports_of_the_domain_count(tmp_path):
    # Where all meet, where one meets, of the next domain; then the first and the last for data.
    others = table(tmp_path / 'udp', 7400, 7410, 7661, 53)
    assert processes_elsewhere(0, tmp_path, others) == 0
    assert processes_elsewhere(1, tmp_path, others) == 1
    assert processes_elsewhere(0, tmp_path, table(tmp_path / 'udp', 7411, 7649)) == 2


def test_who_holds_a_port_of_the_memory_is_here(tmp_path):
    sockets = table(tmp_path / 'udp', 7411, 7413)
    lock = tmp_path / 'fastrtps_port7413_el'
    lock.touch()
    assert processes_elsewhere(0, tmp_path, sockets) == 2  # left by a process that was killed
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert processes_elsewhere(0, tmp_path, sockets) == 1
        # Its number by UDP may be another one, where that was taken.
        assert processes_elsewhere(0, tmp_path, table(tmp_path / 'udp', 7415)) == 0


@pytest.mark.parametrize(
    ('one', 'other', 'same'),
    [
        ('010f78fd451d', '010f78fd0000', True),
        ('010f78fd451d', '010f78fe451d', False),
        ('011078fd451d', '011078fd451d', False),  # of Cyclone DDS
        ('', '', False),
    ],
)
def test_the_machine_is_told_by_the_guid(one, other, same):
    assert same_machine(list(bytes.fromhex(one)), list(bytes.fromhex(other))) is same


@fast_dds
def test_a_node_says_what_keeps_it_apart_from_its_camera(graph, tmp_path):
    unshare = shutil.which('unshare')
    mount = 'mount --make-rprivate / && mount -t tmpfs tmpfs /dev/shm'
    if not unshare or subprocess.run([unshare, '-m', 'sh', '-c', mount], check=False).returncode:
        pytest.skip('a /dev/shm of its own takes root')
    code = (
        'import rclpy, sys; from sensor_msgs.msg import Image; rclpy.init(); '
        'node = rclpy.create_node("apart"); p = node.create_publisher(Image, "/apart", 1); '
        'print(flush=True); sys.stdin.readline()'
    )
    camera = subprocess.Popen(
        [unshare, '-m', 'sh', '-c', f'{mount} && exec "$0" "$@"', sys.executable, '-c', code],
        env=graph.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        camera.stdout.readline()
        assert processes_elsewhere(int(graph.environment['ROS_DOMAIN_ID'])) == 1
        parameters = {'model': str(write_detect(tmp_path)), 'stale_after': 1.0}
        with graph.running('detect_node', 'kept', parameters, {'image': '/apart'}) as node:
            status = node.diagnostics(lambda s: 'tells no name' in s.message)
        assert 'no image on /apart yet' in status.message
        assert '--ipc=host' in status.message
    finally:
        camera.kill()
        camera.communicate()
    assert os.access('/dev/shm', os.W_OK)
