"""The choice of the transport: it must never override a user's."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from nodes.middleware import cyclone_dds, fast_dds
from trt_perception.cli.isolation import free_domain
from trt_perception.nodes import transport
from trt_perception.nodes.transport import PROFILE_VARIABLES, choose_transport

CONFIG = Path(__file__).resolve().parents[2] / 'config'


@pytest.fixture(autouse=True)
def roomy(tmp_path, monkeypatch):
    """Shared memory as on a usual machine, and a current folder without profiles."""
    monkeypatch.setattr(transport, 'SHARED_MEMORY', tmp_path)
    monkeypatch.setattr(transport, 'BYTES_A_PROCESS', 1)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ('environment', 'names'),
    [
        ({}, PROFILE_VARIABLES),
        ({'ROS_DISTRO': 'humble'}, ('FASTRTPS_DEFAULT_PROFILES_FILE',)),
        ({'ROS_DISTRO': 'jazzy'}, ('FASTRTPS_DEFAULT_PROFILES_FILE',)),
        ({'ROS_DISTRO': 'kilted'}, ('FASTDDS_DEFAULT_PROFILES_FILE',)),
        ({'ROS_DISTRO': 'rolling'}, ('FASTDDS_DEFAULT_PROFILES_FILE',)),
    ],
    ids=lambda value: value.get('ROS_DISTRO', 'none') if isinstance(value, dict) else '',
)
def test_the_profile_is_named_as_the_distribution_reads_it(environment, names):
    """Fast DDS 3 complains about the name that Fast DDS 2 reads."""
    chosen = choose_transport(environment, 2)
    assert set(chosen.variables) == set(names)
    for name in names:
        assert Path(chosen.variables[name]).samefile(CONFIG / 'fastdds_shm.xml')
    assert 'shared memory' in chosen.reason


@pytest.mark.parametrize(
    ('variable', 'value'),
    [
        ('FASTDDS_DEFAULT_PROFILES_FILE', '/etc/own.xml'),
        ('FASTRTPS_DEFAULT_PROFILES_FILE', '/etc/own.xml'),
        ('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4'),
        ('RMW_IMPLEMENTATION', 'rmw_zenoh_cpp'),
    ],
)
def test_a_choice_of_the_user_stands(variable, value):
    chosen = choose_transport({variable: value}, 2)
    assert chosen.variables == {}
    assert variable in chosen.reason


@pytest.mark.parametrize('rmw', ['rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp', ''])
def test_naming_fast_dds_is_no_other_choice(rmw):
    assert choose_transport({'RMW_IMPLEMENTATION': rmw}, 2).variables


CYCLONE = {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
CYCLONE_PROFILES = ('cyclonedds.xml', 'cyclonedds_one_machine.xml')


@pytest.mark.parametrize(
    ('environment', 'profile'),
    [
        ({}, 'cyclonedds.xml'),
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}, 'cyclonedds.xml'),
        ({'ROS_LOCALHOST_ONLY': '0'}, 'cyclonedds.xml'),
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}, 'cyclonedds_one_machine.xml'),
        ({'ROS_LOCALHOST_ONLY': '1'}, 'cyclonedds_one_machine.xml'),
    ],
)
def test_cyclone_dds_gets_room_for_images(environment, profile):
    """Large datagrams only where none leaves the machine."""
    chosen = choose_transport(CYCLONE | environment, 2)
    assert set(chosen.variables) == {'CYCLONEDDS_URI'}
    uri = chosen.variables['CYCLONEDDS_URI']
    assert Path(uri.removeprefix('file://')).samefile(CONFIG / profile)
    assert profile in chosen.reason


def test_a_choice_for_cyclone_dds_stands():
    chosen = choose_transport(CYCLONE | {'CYCLONEDDS_URI': '<CycloneDDS/>'}, 2)
    assert chosen.variables == {}
    assert 'CYCLONEDDS_URI' in chosen.reason


def test_that_a_choice_for_another_middleware_stands_hinders_none():
    assert choose_transport(CYCLONE | {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, 2).variables
    assert choose_transport({'CYCLONEDDS_URI': '<CycloneDDS/>'}, 2).variables


@pytest.mark.parametrize(('allowed', 'small'), [('212992\n', True), ('16777216\n', False)])
def test_sockets_without_room_for_an_image_are_named(tmp_path, monkeypatch, allowed, small):
    limit = tmp_path / 'rmem_max'
    limit.write_text(allowed)
    monkeypatch.setattr(transport, 'RECEIVE_BUFFER', limit)
    chosen = choose_transport(CYCLONE, 2)
    assert chosen.variables
    assert ('sudo sysctl -w net.core.rmem_max=8388608' in chosen.reason) == small


def test_a_machine_that_does_not_tell_its_sockets_limit_is_served(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, 'RECEIVE_BUFFER', tmp_path / 'none')
    assert choose_transport(CYCLONE, 2).variables


@pytest.mark.parametrize('profile', CYCLONE_PROFILES)
def test_cyclone_dds_asks_for_room_but_does_not_insist(profile):
    """With a least size it ends where the kernel gives less."""
    root, names = cyclone_profile(profile)
    [room] = root.iterfind('.//c:SocketReceiveBufferSize', names)
    assert set(room.attrib) == {'max'}


def test_what_cyclone_dds_sends_over_a_network_stays_as_it_is():
    root, names = cyclone_profile('cyclonedds.xml')
    assert root.find('.//c:General', names) is None


def test_a_piece_fits_a_datagram():
    root, names = cyclone_profile('cyclonedds_one_machine.xml')
    piece, datagram = (
        int((root.findtext(f'.//c:{name}', namespaces=names) or '').removesuffix('B'))
        for name in ('FragmentSize', 'MaxMessageSize')
    )
    assert piece + 256 < datagram <= 65500


@pytest.mark.parametrize('profile', CYCLONE_PROFILES)
def test_no_shared_memory_that_needs_a_daemon(profile):
    """Where that does not run a process aborts."""
    root, names = cyclone_profile(profile)
    assert root.find('.//c:SharedMemory', names) is None


def cyclone_profile(name: str) -> tuple[ElementTree.Element, dict[str, str]]:
    root = ElementTree.parse(CONFIG / name).getroot()
    return root, {'c': root.tag[1:].split('}')[0]}


def test_a_profile_in_the_current_folder_stands(tmp_path):
    (tmp_path / 'DEFAULT_FASTRTPS_PROFILES.xml').write_text('<profiles/>')
    assert choose_transport({}, 2).variables == {}


def test_shared_memory_without_room_is_left_alone_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, 'BYTES_A_PROCESS', shutil.disk_usage(tmp_path).total)
    chosen = choose_transport({}, 2)
    assert chosen.variables == {}
    assert '--shm-size' in chosen.reason
    assert 'fastdds shm clean' in chosen.reason  # a killed process leaves its 64 MiB behind


def test_no_shared_memory_at_all_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, 'SHARED_MEMORY', tmp_path / 'none')
    assert 'cannot be used' in choose_transport({}, 2).reason


def test_the_profile_keeps_udp_beside_shared_memory():
    """So that other machines, and programs without the profile, are still reached."""
    root = ElementTree.parse(CONFIG / 'fastdds_shm.xml').getroot()
    schema = {'d': root.tag[1:].split('}')[0]}
    kinds = {
        d.findtext('d:transport_id', namespaces=schema): d.findtext('d:type', namespaces=schema)
        for d in root.iterfind('.//d:transport_descriptor', schema)
    }
    used = [t.text for t in root.iterfind('.//d:userTransports/d:transport_id', schema)]
    assert [kinds[name] for name in used] == ['SHM', 'UDPv4']
    assert root.findtext('.//d:useBuiltinTransports', namespaces=schema) == 'false'


@fast_dds
def test_fast_dds_takes_the_profile(tmp_path):
    """Its segment of 64 MiB appears while a participant lives."""
    pytest.importorskip('rclpy', reason='needs ROS 2')
    before = {path.name for path in Path('/dev/shm').iterdir()}
    if shutil.disk_usage('/dev/shm').free < 2**28:
        pytest.skip('/dev/shm is too small for the profile')
    code = (
        'import os, rclpy; rclpy.init(); node = rclpy.create_node("sizes")\n'
        f'new = set(os.listdir("/dev/shm")) - {before!r}\n'
        'print(max((os.stat(f"/dev/shm/{name}").st_size for name in new), default=0))'
    )
    named = dict.fromkeys(PROFILE_VARIABLES, str(CONFIG / 'fastdds_shm.xml'))
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=os.environ | named | {'ROS_DOMAIN_ID': '101'},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert int(done.stdout or 0) >= 64 * 2**20, done.stderr


@cyclone_dds
@pytest.mark.parametrize('profile', CYCLONE_PROFILES)
def test_cyclone_dds_takes_the_profile(tmp_path, profile):
    """It refuses what it does not know, and then no node starts."""
    report = tmp_path / 'settings'
    tracing = f'<Tracing><Verbosity>config</Verbosity><OutputFile>{report}</OutputFile></Tracing>'
    subprocess.run(
        [sys.executable, '-c', 'import rclpy; rclpy.init(); rclpy.create_node("sizes")'],
        env=os.environ | {'CYCLONEDDS_URI': f'file://{CONFIG / profile},{tracing}'},
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    assert 'SocketReceiveBufferSize[@max]: 16 MiB' in report.read_text()


@fast_dds
def test_processes_meet_soon(tmp_path):
    """One whose first answer got lost is met at the next announcement."""
    pytest.importorskip('rclpy', reason='needs ROS 2')
    if os.environ.get('ROS_DISTRO') == 'humble':
        pytest.skip('announces itself by multicast only')
    code = 'import rclpy, sys; rclpy.init(); n = rclpy.create_node("loud"); sys.stdin.readline()'
    named = dict.fromkeys(PROFILE_VARIABLES, str(CONFIG / 'fastdds_shm.xml'))
    domain = free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        # Where the 30th process of this domain would listen.
        ear.bind(('127.0.0.1', 7410 + 250 * domain + 2 * 30))
        ear.settimeout(20)
        local = {'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
        process = subprocess.Popen(
            [sys.executable, '-c', code],
            env=os.environ | named | local,
            stdin=subprocess.PIPE,
            cwd=tmp_path,
        )
        try:
            heard = [arrival(ear)]
            while heard[-1] < heard[0] + 3.2:
                heard.append(arrival(ear))
        finally:
            process.communicate(b'end\n', timeout=20)
    # Five more, 0.1 s apart, follow the first one anyway. Each goes out once a transport.
    later = [moment for moment in heard if moment > heard[0] + 1.2]
    announcements = 1 + sum(b - a > 0.2 for a, b in itertools.pairwise(later))
    assert announcements >= 4


def arrival(ear: socket.socket) -> float:
    assert ear.recv(2048).startswith(b'RTPS')
    return time.monotonic()
