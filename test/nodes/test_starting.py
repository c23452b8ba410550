"""The start of a node's process, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from ament_index_python.packages import get_package_prefix

from nodes.middleware import fast_dds
from nodes.ports import opened, wait_until
from trt_perception.nodes.abandoned_memory import YOUNG_S

CAMERA = Path(get_package_prefix('trt_perception')) / 'lib/trt_perception/camera_node'
SLOW_IMPORTS = """
import sys, time
from trt_perception.nodes.starting import start

class Late:
    def find_spec(self, name, path=None, target=None):
        if name.endswith('nodes.camera_node'):
            print('importing', flush=True)
            sys.stdin.readline()

sys.meta_path.insert(0, Late())
sys.exit(start('camera_node', 'CameraNode'))
"""


THREADS = """
import os
import trt_perception.nodes.starting
count = lambda: len(os.listdir('/proc/self/task'))
before = count()
import numpy, cv2
numpy.ones((500, 500)) @ numpy.ones((500, 500))
print(count() - before, os.environ['OPENBLAS_NUM_THREADS'])
"""


@pytest.fixture
def slow(tmp_path_factory) -> str:
    """A program whose imports last until a line comes."""
    program = tmp_path_factory.mktemp('programs') / 'slow_node.py'
    program.write_text(SLOW_IMPORTS)
    return str(program)


@pytest.fixture
def launch(graph, tmp_path):
    """Starts a program as a launch file would; its notes lie in `tmp_path`."""
    started = []

    def make(*command: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**graph.environment, 'XDG_RUNTIME_DIR': str(tmp_path), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.communicate()


def names(graph) -> set[str]:
    """All nodes of the domain, also those that hide."""
    return {name for name, _ in graph.node.get_node_names_and_namespaces()}


def test_the_process_is_in_the_graph_before_its_imports_are_done(launch, slow, graph):
    process = launch(slow)
    assert process.stdout.readline() == 'importing\n'
    graph.wait_for(lambda: '_starting' in names(graph), 'the hidden node')
    process.stdin.write('go on\n')
    process.stdin.flush()
    graph.wait_for(lambda: 'camera_node' in names(graph), 'the node')
    graph.wait_for(lambda: '_starting' not in names(graph), 'the end of the hidden node')
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_a_signal_during_the_imports_ends_it_in_order(launch, slow, tmp_path):
    process = launch(slow)
    assert process.stdout.readline() == 'importing\n'
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate('go on\n', timeout=20)
    assert (process.returncode, output) == (0, '')
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_told_and_end_it(launch):
    process = launch(str(CAMERA), '--ros-args', '--params-file', '/missing.yaml')
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert 'cannot start' in output
    assert 'Traceback' not in output


def test_a_node_starts_where_no_log_files_can_be_written(launch, graph, tmp_path):
    """A read-only home, as on many robots."""
    file = tmp_path / 'file'
    file.touch()
    process = launch(str(CAMERA), ROS_LOG_DIR=f'{file}/log')
    assert process.stdout.readline().startswith(f'{file}/log: ')
    graph.wait_for(lambda: 'camera_node' in names(graph), 'the node')
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


@fast_dds
def test_who_was_killed_young_waits_and_its_memory_is_removed(launch, tmp_path):
    """The segment of a process that just died looks as if its owner were about to lock it."""
    command = [str(CAMERA), '--ros-args', '-p', 'autostart:=false']
    first = launch(*command)
    wait_until(lambda: any(tmp_path.iterdir()) and segments_of(first.pid), 'the first segment')
    left = segments_of(first.pid)
    first.kill()
    first.wait()
    second = launch(*command)
    assert 'waiting 0.5 s' in second.stdout.readline()
    wait_until(lambda: not any(path.exists() for path in left), 'the removal', seconds=YOUNG_S + 15)
    second.send_signal(signal.SIGINT)
    assert second.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


@fast_dds
def test_a_signal_while_it_waits_ends_it_before_it_joins(launch, slow, tmp_path):
    first = launch(slow)
    assert first.stdout.readline() == 'importing\n'
    assert segments_of(first.pid)
    first.kill()
    first.wait()
    [note] = tmp_path.iterdir()
    note.write_text(f'{note.read_text().rsplit(maxsplit=1)[0]} 4')
    second = launch(slow)
    assert 'waiting 8 s' in second.stdout.readline()
    second.send_signal(signal.SIGINT)
    assert second.stdout.readline() == 'importing\n'
    assert segments_of(second.pid) == []
    output, _ = second.communicate('go on\n', timeout=20)
    assert (second.returncode, output) == (0, '')
    assert list(tmp_path.iterdir()) == []


def segments_of(pid: int) -> list[Path]:
    """The lock files of Fast DDS's segments that a process has open, and the segments."""
    locks = [f for f in opened(pid) if f.name.endswith('_el') and 'port' not in f.name]
    return [*locks, *(file.with_name(file.name.removesuffix('_el')) for file in locks)]


@pytest.mark.parametrize('chosen', [None, '3'])
def test_linear_algebra_starts_no_threads_unless_asked_for(chosen):
    """NumPy and OpenCV have a pool each, of one thread for each core."""
    environment = {k: v for k, v in os.environ.items() if k != 'OPENBLAS_NUM_THREADS'}
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', THREADS],
        cwd='/',
        env=environment | ({'OPENBLAS_NUM_THREADS': chosen} if chosen else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    started, told = done.stdout.split()
    assert told == (chosen or '1')
    assert (int(started) > 0) is (chosen is not None)
