"""What else a machine does while something is measured."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from trt_perception.evaluation.machine_load import LoadWatch, MachineLoad, Spent, spent


def watched(*moments: Spent) -> MachineLoad:
    return LoadWatch(iter(moments).__next__).so_far()


def test_no_time_is_no_work():
    assert watched(Spent(5, 9, 1, 0.5), Spent(5, 9, 1, 0.5)) == MachineLoad(0.5, 0.5, 0)


def test_own_work_makes_no_machine_busy():
    load = watched(Spent(0, 100, 10, 0.1), Spent(10, 140, 49, 3.9))
    assert load == MachineLoad(0.1, 3.9, pytest.approx(0.1))
    assert not load.busy


def test_the_work_of_others_does():
    load = watched(Spent(0, 100, 10, 0.1), Spent(10, 123, 20, 2.0))
    assert load.others_cpus == pytest.approx(1.3)
    assert load.busy


def test_clocks_that_tick_apart_make_nothing_negative():
    assert watched(Spent(0, 0, 0, 0), Spent(1, 0.99, 1.0, 1)).others_cpus == 0


def test_a_real_process_is_seen():
    watch = LoadWatch()
    burner = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    try:
        time.sleep(1.5)
        seen = watch.so_far()
    finally:
        burner.kill()
        burner.wait()
    assert seen.others_cpus > 0.1
    assert seen.begin >= 0
    now = spent()
    assert 0 < now.own <= now.used
