"""A node that starts again listens where its predecessor did not."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from nodes.middleware import fast_dds
from nodes.ports import ports_of, wait_until
from trt_perception.nodes.own_port import PARTICIPANTS, own_port, unused_offset
from trt_perception.nodes.transport import PROFILE, PROFILE_VARIABLES

CONFIG = Path(__file__).resolve().parents[2] / 'config'
VARIABLE = PROFILE_VARIABLES[1]
FIRST_EPHEMERAL = int(Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split()[0])
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


@pytest.mark.parametrize('patient', [False, True])
def test_only_the_patient_wait_for_a_slow_network(monkeypatch, patient):
    monkeypatch.setenv(VARIABLE, str(CONFIG / PROFILE))
    with own_port(0, patient=patient):
        text = Path(os.environ[VARIABLE]).read_text()
    assert ('<non_blocking_send>true' in text) is not patient
    ElementTree.fromstring(text)


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


def test_what_cannot_be_looked_at_is_taken_by_nobody(tmp_path):
    """Such as the lock file of another user; here a link, which is not followed."""
    first = unused_offset(0, tmp_path)
    (tmp_path / f'fastrtps_port{7400 + first}_el').symlink_to(tmp_path / 'missing')
    assert unused_offset(0, tmp_path) != first


@pytest.mark.parametrize('domain', [233, 300])
def test_a_domain_without_ports_is_left_to_the_middleware(named, domain):
    with own_port(domain):
        assert os.environ[VARIABLE] == named


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


@fast_dds
@pytest.mark.parametrize(('module', 'waits'), [('camera_node', False), ('overlay_node', True)])
def test_sending_waits_for_the_network_in_the_overlay_only(tmp_path, graph, module, waits):
    """Else a reader on another machine and a slow network holds up those of this machine."""
    pytest.importorskip('rclpy', reason='needs ROS 2')
    code = f"""
import sys, types
from trt_perception.nodes import starting
def stop_here(name):
    print(name, flush=True)
    sys.stdin.readline()
starting.importlib = types.SimpleNamespace(import_module=stop_here)
starting.start({module!r}, 'none')
"""
    named = dict.fromkeys(PROFILE_VARIABLES, str(CONFIG / PROFILE))
    process = subprocess.Popen(
        [sys.executable, '-c', code],
        env={**graph.environment, **named, 'XDG_RUNTIME_DIR': str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        process.stdout.readline()
        # With LOCALHOST rmw_fastrtps adds a transport of its own, which waits.
        assert (False not in senders_wait(process.pid)) is waits
    finally:
        process.kill()
        process.communicate()


def senders_wait(process: int) -> set[bool]:
    """Whether sending waits, of each UDP socket of a process that is not one to be heard at."""
    ports = {}
    for line in Path('/proc/net/udp').read_text().splitlines()[1:]:
        fields = line.split()
        ports[f'socket:[{fields[9]}]'] = int(fields[1].split(':')[1], 16)
    found = set()
    for link in Path(f'/proc/{process}/fd').iterdir():
        port = ports.get(str(link.readlink()))
        if port is not None and port >= FIRST_EPHEMERAL:
            told = (link.parents[1] / 'fdinfo' / link.name).read_text()
            found.add(not int(re.search(r'flags:\s*(\d+)', told)[1], 8) & os.O_NONBLOCK)
    return found
