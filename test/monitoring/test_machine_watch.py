from __future__ import annotations

import threading
import time

import pytest

from trt_perception.monitoring.gpu_state import GpuState
from trt_perception.monitoring.machine_watch import Machine, MachineWatch


class Counting:
    """A GPU whose temperature counts the readings."""

    def __init__(self):
        self.readings = 0
        self.closed = False
        self.thread = threading.current_thread()

    def read(self):
        self.readings += 1
        return GpuState('gpu', temperature_c=float(self.readings))

    def close(self):
        self.closed = True


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def sources():
    return []


@pytest.fixture
def watch(sources):
    def find():
        sources.append(Counting())
        return sources[-1]

    watch = MachineWatch(0.01, find_gpu=find)
    yield watch
    watch.close()


def test_without_a_gpu_the_process_is_still_watched():
    watch = MachineWatch(0.01, find_gpu=lambda: None)
    wait_for(lambda: watch.newest.process is not None)
    assert watch.newest.gpu is None
    watch.close()


def test_nothing_is_known_before_the_first_reading():
    begin = threading.Event()

    def find():
        begin.wait(10)

    watch = MachineWatch(0.01, find_gpu=find)
    assert watch.newest == Machine()
    begin.set()
    watch.close()


def test_it_reads_again_and_again_in_its_own_thread(watch, sources):
    wait_for(lambda: watch.newest.gpu is not None and watch.newest.gpu.temperature_c >= 3)
    assert sources[0].thread is not threading.current_thread()


def test_it_ends_with_its_source(watch, sources):
    wait_for(lambda: watch.newest.gpu is not None)
    watch.close()
    assert sources[0].closed
    readings = sources[0].readings
    time.sleep(0.05)
    assert sources[0].readings == readings


def test_closing_twice_does_no_harm(watch):
    watch.close()
    watch.close()
