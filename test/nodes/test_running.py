"""The process around a node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from ament_index_python.packages import get_package_prefix

PROGRAM = """
import sys, time
from trt_perception.nodes.lifecycle import PerceptionNode
from trt_perception.nodes.common_parameters import NodeParameters
from trt_perception.nodes.running import run

class Odd(PerceptionNode[NodeParameters]):
    def __init__(self):
        {making}
        super().__init__('odd', NodeParameters)

    def configure(self):
        print('configuring', flush=True)
        {configuring}

sys.exit(run(Odd))
"""


def read_until(process: subprocess.Popen[str], words: str) -> None:
    while words not in (line := process.stdout.readline()):
        assert line, f'not printed: {words}'


@pytest.fixture
def start(graph, tmp_path):
    """Starts a node that does odd things, and waits until it has printed a line."""
    started = []

    def make(*, making='pass', configuring='pass', line='configuring') -> subprocess.Popen[str]:
        program = tmp_path / 'odd_node.py'
        program.write_text(PROGRAM.format(making=making, configuring=configuring))
        process = subprocess.Popen(
            [sys.executable, str(program)],
            env=graph.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        read_until(process, line)
        return process

    yield make
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


IMPATIENT = (
    'from trt_perception.nodes import stuck_watch; '
    'stuck_watch._ACTIVE_S = 3.0; stuck_watch._LOOK_S = 0.2'
)
HOLD_UP = """
import ctypes, threading

def hold_up():
    while self.state != 'active':
        time.sleep(0.05)
    time.sleep(2.0)
    print('held up', flush=True)
    ctypes.PyDLL(None).sleep(60)

threading.Thread(target=hold_up, daemon=True).start()
"""


def test_a_node_that_is_stuck_ends_and_prints_where(start):
    """`PyDLL` keeps Python's lock, as rclpy does while it publishes."""
    indented = HOLD_UP.replace('\n', '\n        ')
    process = start(making=IMPATIENT, configuring=indented, line='held up')
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert 'in hold_up' in output


CONFIGURE_AGAIN = """
import ctypes, threading

def configure_again():
    while self.state != 'active':
        time.sleep(0.05)
    time.sleep(2.5)  # longer than the time from one look at the state to the next
    self.trigger_deactivate()
    self.trigger_cleanup()
    self.trigger_configure()
    print('configured again', flush=True)

if hasattr(self, 'before'):
    ctypes.PyDLL(None).sleep(5)
else:
    self.before = True
    threading.Thread(target=configure_again, daemon=True).start()
"""


def test_a_node_that_opens_something_for_long_is_not_taken_for_stuck(start):
    """onnxruntime keeps Python's lock while it opens a network."""
    indented = CONFIGURE_AGAIN.replace('\n', '\n        ')
    process = start(making=f'{IMPATIENT}; stuck_watch._LOOK_S = 2.0', configuring=indented)
    read_until(process, 'configured again')
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_a_node_that_works_is_not_taken_for_stuck(start):
    process = start(making=IMPATIENT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_a_callback_that_does_not_end_is_left_behind(start):
    process = start(configuring='time.sleep(60)')
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert 'a callback does not end' in output


def test_asking_again_ends_it_at_once(start):
    process = start(configuring='time.sleep(60)')
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < 20:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert process.returncode == 1


def test_a_signal_while_the_node_is_made_waits_for_it(start):
    process = start(making="print('making', flush=True); time.sleep(0.5)", line='making')
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert 'Traceback' not in output


def test_a_fault_in_configure_is_logged_and_the_node_lives(start):
    process = start(configuring='raise KeyError("a fault of ours")')
    read_until(process, "cannot configure: KeyError: 'a fault of ours'")
    read_until(process, 'in configure')
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_ctrl_c_during_the_imports_leaves_no_traceback(graph):
    program = Path(get_package_prefix('trt_perception')) / 'lib/trt_perception/camera_node'
    process = subprocess.Popen(
        [str(program)],
        env=graph.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        maps = Path(f'/proc/{process.pid}/maps')
        while '_multiarray_umath' not in maps.read_text():
            assert process.poll() is None, process.communicate()[0]
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert output == ''
