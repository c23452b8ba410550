"""A node that starts again listens where its predecessor did not."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.middleware import fast_dds
from nodes.ports import ports_of, wait_until
from trt_perception.nodes.own_port import PARTICIPANTS, own_port, unused_offset
from trt_perception.nodes.transport import PROFILE, PROFILE_VARIABLES

VARIABLE = PROFILE_VARIABLES[1]
OFFSETS = {11 + 2 * participant for participant in PARTICIPANTS}


@pytest.fixture(autouse=True)
def no_profile(monkeypatch):
    for variable in PROFILE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def named(tmp_path, monkeypatch):
    """This package's profile, as far as it matters, is named in the environment."""
    file = tmp_path / PROFILE
    file.write_text('<participant><rtps><builtin/></rtps></participant>')
    monkeypatch.setenv(VARIABLE, str(file))
    return str(file)


def test_without_a_profile_nothing_happens(tmp_path):
    before = dict(os.environ)
    with own_port(0, tmp_path):
        assert dict(os.environ) == before


def test_the_profile_within_the_block_has_a_port_of_its_own(named, tmp_path):
    with own_port(3, tmp_path / 'shm'):
        file = Path(os.environ[VARIABLE])
        port = f'<port><offsetd3>{unused_offset(3, tmp_path / "shm")}</offsetd3></port>'
        assert file.read_text() == Path(named).read_text().replace('<rtps>', f'<rtps>{port}')
    assert os.environ[VARIABLE] == named
    assert not file.exists()


@pytest.mark.parametrize('text', ['', '<rtps/>', '<rtps></rtps><rtps></rtps>', b'\xff<rtps>'])
def test_what_does_not_look_like_it_is_left_alone(named, text):
    Path(named).write_bytes(text if isinstance(text, bytes) else text.encode())
    with own_port(0):
        assert os.environ[VARIABLE] == named


def test_the_profile_of_a_user_is_left_alone(tmp_path, monkeypatch):
    file = tmp_path / 'mine.xml'
    file.write_text('<rtps></rtps>')
    monkeypatch.setenv(VARIABLE, str(file))
    with own_port(0):
        assert os.environ[VARIABLE] == str(file)


def test_a_missing_profile_does_not_hinder_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / PROFILE))
    with own_port(0):
        assert os.environ[VARIABLE] == str(tmp_path / PROFILE)


@pytest.mark.parametrize('name', ['fastrtps_port{}', 'fastdds_port{}_el', 'fastrtps_port{}_sl'])
def test_a_port_that_left_a_file_is_not_taken(tmp_path, name):
    first = unused_offset(5, tmp_path)
    assert first in OFFSETS
    (tmp_path / name.format(7400 + 250 * 5 + first)).touch()
    (tmp_path / name.format('x')).touch()
    assert unused_offset(5, tmp_path) in OFFSETS - {first}
    assert unused_offset(6, tmp_path) == first


def test_where_all_left_one_the_oldest_without_an_owner_is_taken(tmp_path):
    for made, offset in enumerate(sorted(OFFSETS, reverse=True), start=1):
        for ending in ('', '_el'):
            file = tmp_path / f'fastrtps_port{7400 + offset}{ending}'
            file.touch()
            os.utime(file, (made, made))
    [owned, oldest] = sorted(OFFSETS)[-1:-3:-1]
    with (tmp_path / f'fastrtps_port{7400 + owned}_el').open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert unused_offset(0, tmp_path) == oldest
    assert unused_offset(0, tmp_path) == owned


@pytest.mark.parametrize('domain', [0, 101, 215, 232])
def test_every_domain_of_ros_has_one(tmp_path, domain):
    assert 7400 + 250 * domain + unused_offset(domain, tmp_path) < 2**16


@fast_dds
def test_who_was_killed_is_not_followed_at_its_port(tmp_path, graph):
    """Others still write there, and make the memory of the port anew while the newcomer does."""
    pytest.importorskip('rclpy', reason='needs ROS 2')
    code = """
import sys
from trt_perception.nodes.starting import Start
begun = Start(sys.argv)
sys.stdin.readline()
"""
    ports = []
    for number in range(3):
        process = subprocess.Popen(
            [sys.executable, '-c', code],
            # A life of its own each time, so that nobody waits for having died young.
            env={**graph.environment, 'XDG_RUNTIME_DIR': str(tmp_path / str(number))},
            stdin=subprocess.PIPE,
            cwd=tmp_path,
        )
        try:
            [port] = wait_until(lambda process=process: ports_of(process.pid), 'its port')
            ports.append(port)
        finally:
            process.kill()
            process.communicate()
    assert len(set(ports)) == 3
    first = 7400 + 250 * int(graph.environment['ROS_DOMAIN_ID'])
    assert {port - first for port in ports} <= OFFSETS
