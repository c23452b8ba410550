"""A process that stands still as a whole ends, with real ones.

`PyDLL` keeps Python's lock while it calls, as rclpy does while it publishes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import ctypes, sys, threading, time
sys.path.insert(0, sys.argv[1])
from trt_perception.nodes import stuck_watch

stuck_watch._JOIN_S = stuck_watch._ACTIVE_S = 0.5
stuck_watch._LOOK_S = 0.1
active, stopping = threading.Event(), threading.Event()

def stand_still():
    ctypes.PyDLL(None).usleep(900_000)

def watch(is_active=active.is_set):
    thread = threading.Thread(target=stuck_watch.while_active, args=[is_active, stopping])
    thread.daemon = True
    thread.start()
    time.sleep(0.2)
    return thread

"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', PROGRAM + program, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_ended_with_the_place(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    assert 'in stand_still' in done.stderr


def assert_let_be(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, '')


def test_who_does_not_come_to_join_is_ended():
    assert_ended_with_the_place(run('with stuck_watch.while_joining(): stand_still()'))


def test_who_has_joined_or_failed_to_is_let_be():
    assert_let_be(
        run("""
with stuck_watch.while_joining():
    pass
stand_still()
try:
    with stuck_watch.while_joining():
        raise OSError
except OSError:
    stand_still()
""")
    )


def test_an_active_node_that_stands_still_is_ended():
    assert_ended_with_the_place(run('active.set(); watch(); stand_still()'))


def test_an_active_node_that_works_is_let_be():
    assert_let_be(run('active.set(); watch(); time.sleep(0.9)'))


@pytest.mark.parametrize(
    'program',
    [
        'watch(); stand_still()',
        'active.set(); watch(); active.clear(); stuck_watch.let_be(); stand_still()',
        'active.set(); watch(); active.clear(); time.sleep(0.2); stand_still()',
        'active.set(); thread = watch(); stopping.set(); thread.join(); stand_still()',
    ],
    ids=['inactive', 'deactivated', 'found inactive', 'stopping'],
)
def test_who_is_not_active_may_stand_still(program):
    assert_let_be(run(program))


def test_a_node_that_is_deactivated_during_a_look_is_let_be():
    assert_let_be(
        run("""
active.set()

def is_active():
    was = active.is_set()
    time.sleep(0.4)
    return was

watch(is_active)
active.clear()
stuck_watch.let_be()
time.sleep(0.3)  # for the look to end
stand_still()
""")
    )
