"""A process that cannot be reached any more notices it."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from ament_index_python.packages import get_package_prefix

from nodes.middleware import fast_dds
from nodes.ports import ports_of, wait_until
from trt_perception.nodes import port_watch
from trt_perception.nodes.port_watch import PortWatch
from trt_perception.nodes.transport import SHARED_MEMORY

CAMERA = Path(get_package_prefix('trt_perception')) / 'lib/trt_perception/camera_node'


class Port:
    """A port at which this process listens, as Fast DDS makes it."""

    def __init__(self, folder: Path, number: int) -> None:
        self.file = folder / f'fastrtps_port{number}'
        self.lock = (folder / f'{self.file.name}_el').open('w')
        self.make()

    def make(self) -> None:
        self.file.unlink(missing_ok=True)
        self.file.write_bytes(bytes(4096))
        with self.file.open('r+b') as file:
            self.memory = mmap.mmap(file.fileno(), 4096)


def test_without_a_port_there_is_nothing_to_watch(tmp_path):
    watch = PortWatch(tmp_path)
    assert watch.lost() == []
    watch.call_when_lost(lambda name: pytest.fail(name))


def test_a_port_of_which_the_name_is_gone_is_lost(tmp_path):
    port = Port(tmp_path, 7541)
    watch = PortWatch(tmp_path)
    assert watch.lost() == []
    port.file.unlink()
    assert watch.lost() == ['fastrtps_port7541']


def test_a_port_that_another_process_made_anew_is_lost(tmp_path):
    port = Port(tmp_path, 7541)
    watch = PortWatch(tmp_path)
    port.file.rename(tmp_path / 'old')
    port.file.write_bytes(bytes(4096))
    assert watch.lost() == ['fastrtps_port7541']


def test_a_port_that_this_process_made_anew_is_not_lost(tmp_path):
    port = Port(tmp_path, 7541)
    watch = PortWatch(tmp_path)
    assert watch.lost() == []
    port.make()
    assert watch.lost() == []


def test_a_port_that_is_lost_from_the_begin_is_found(tmp_path):
    port = Port(tmp_path, 7541)
    port.file.unlink()
    assert PortWatch(tmp_path).lost() == ['fastrtps_port7541']


def test_a_port_that_comes_back_after_the_last_look_is_told_all_the_same(tmp_path, monkeypatch):
    """Nobody looks any more after that, so that it would never be told again."""
    monkeypatch.setattr(port_watch, '_LOOK_S', 0.01)
    port = Port(tmp_path, 7541)
    looks = []

    class BackInTime(PortWatch):
        def lost(self) -> list[str]:
            found = super().lost()
            looks.append(found)
            if len(looks) == port_watch._PATIENT_LOOKS:
                port.make()
            return found

    watch = BackInTime(tmp_path)
    port.file.unlink()
    told = []
    watch.call_when_lost(told.append)
    assert told == ['fastrtps_port7541']


def test_ports_that_tell_of_the_graph_are_not_watched(tmp_path):
    port = Port(tmp_path, 7003)
    port.file.unlink()
    assert PortWatch(tmp_path).lost() == []


@fast_dds
def test_a_node_that_cannot_be_reached_ends_and_says_so(graph, tmp_path):
    """A launch file starts it again. Its port is lost as it was seen, by the name alone."""
    process = subprocess.Popen(
        [sys.executable, str(CAMERA), '--ros-args', '-p', 'autostart:=false'],
        env={**graph.environment, 'XDG_RUNTIME_DIR': str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        [port] = wait_until(lambda: ports_of(process.pid), 'its port')
        for name in ('fastrtps', 'fastdds'):
            (SHARED_MEMORY / f'{name}_port{port}').unlink(missing_ok=True)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1
    assert f'port{port} of the shared memory no longer leads here' in output
    assert 'Traceback' not in output
    assert list(tmp_path.iterdir()) == []
