"""Shared memory of processes that were killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trt_perception.nodes.abandoned_memory import (
    abandoned_bytes,
    remove_abandoned_segments,
)
from trt_perception.nodes.transport import SHARED_MEMORY

OLD_S = time.time() - 60


def segment(folder: Path, name: str, *, age_s: float = 60.0) -> tuple[Path, Path]:
    """A segment of 1000 bytes and its lock file."""
    memory, lock = folder / name, folder / f'{name}_el'
    memory.write_bytes(bytes(1000))
    lock.touch()
    moment = time.time() - age_s
    os.utime(lock, (moment, moment))
    return memory, lock


def test_where_there_is_none_nothing_happens(tmp_path: Path):
    assert remove_abandoned_segments(tmp_path) == 0
    assert remove_abandoned_segments(tmp_path / 'missing') == 0


@pytest.mark.parametrize('prefix', ['fastrtps', 'fastdds'])
def test_those_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path, prefix: str):
    dead = segment(tmp_path, f'{prefix}_0123456789abcdef')
    living = segment(tmp_path, f'{prefix}_fedcba9876543210')
    with living[1].open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert abandoned_bytes(tmp_path) == 1000
        assert remove_abandoned_segments(tmp_path) == 1000
    assert not any(file.exists() for file in dead)
    assert all(file.exists() for file in living)


def test_a_lock_file_that_was_made_just_now_is_let_be(tmp_path: Path):
    """Between making and locking it, its owner looks dead."""
    young = segment(tmp_path, 'fastrtps_0123456789abcdef', age_s=0.0)
    assert remove_abandoned_segments(tmp_path) == 0
    assert all(file.exists() for file in young)


@pytest.mark.parametrize(
    'name', ['fastrtps_port7411', 'other_0123456789abcdef', 'fastrtps_0123', 'sem.fastrtps_port1']
)
def test_what_is_no_segment_is_let_be(tmp_path: Path, name: str):
    files = segment(tmp_path, name)
    assert remove_abandoned_segments(tmp_path) == 0
    assert all(file.exists() for file in files)


def test_a_link_is_not_followed(tmp_path: Path):
    precious = tmp_path / 'precious'
    precious.touch()
    link = tmp_path / 'fastrtps_0123456789abcdef_el'
    link.symlink_to(precious)
    os.utime(link, (OLD_S, OLD_S), follow_symlinks=False)
    assert remove_abandoned_segments(tmp_path) == 0
    assert precious.exists()


def test_what_a_killed_ros_process_leaves_is_recognised(graph):
    """The mark is Fast DDS's own: a living participant holds it, a killed one does not."""
    before = set(SHARED_MEMORY.iterdir())
    code = (
        'import rclpy, sys, time\n'
        'rclpy.init(); node = rclpy.create_node("short_lived")\n'
        'print("up", flush=True); time.sleep(60)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code], env=graph.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == 'up\n'
        locks = [
            file
            for file in set(SHARED_MEMORY.iterdir()) - before
            if file.name.endswith('_el') and 'port' not in file.name and held_by(file, process.pid)
        ]
        if not locks:
            pytest.skip('this middleware takes no shared memory of Fast DDS')
        for lock in locks:
            os.utime(lock, (OLD_S, OLD_S))
        remove_abandoned_segments()
        assert all(lock.exists() for lock in locks)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    remove_abandoned_segments()
    assert not any(lock.exists() for lock in locks)
    assert not any(lock.with_name(lock.name[:-3]).exists() for lock in locks)


def held_by(file: Path, pid: int) -> bool:
    """Whether a process has a file open."""
    return any(link.readlink() == file for link in Path(f'/proc/{pid}/fd').iterdir())
