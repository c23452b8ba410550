"""The C library's thresholds."""

from __future__ import annotations

import ctypes
import gc
import platform
import subprocess
import sys
import weakref

import pytest

from trt_perception.nodes.memory import (
    give_freed_memory_back,
    keep_freed_memory,
    return_free_pages,
)

FAULTS = (
    'import os, resource, sys\n'
    'from trt_perception.nodes.memory import keep_freed_memory\n'
    'assert keep_freed_memory() is (sys.argv[1] == "kept")\n'
    'faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n'
    'bytearray(32 << 20); before = faults()\n'
    'for _ in range(20): bytearray(b"x") * (32 << 20)\n'
    'print(faults() - before)'
)

PAGES = (
    'from trt_perception.nodes.memory import give_freed_memory_back, keep_freed_memory\n'
    'import resource, threading\n'
    'keep_freed_memory()\n'
    'mib = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20\n'
    'before = mib()\n'
    'small = []\n'
    'def network():\n'
    '    large = []\n'
    '    for _ in range(200):\n'
    '        large.append(bytearray(b"x") * 500_000); small.append(bytearray(b"y") * 2_000)\n'
    'thread = threading.Thread(target=network); thread.start(); thread.join()\n'
    'print(mib() - before)\n'
    'assert give_freed_memory_back()\n'
    'print(mib() - before)\n'
)


FRAGMENTS = (
    'from trt_perception.nodes.memory import keep_freed_memory, return_free_pages\n'
    'import resource\n'
    'keep_freed_memory()\n'
    'mib = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20\n'
    'before = mib()\n'
    'images, small = [], []\n'
    'for _ in range(200):\n'
    '    images.append(bytearray(b"x") * 500_000); small.append(bytearray(b"y") * 2_000)\n'
    'images.clear()\n'
    'print(mib() - before)\n'
    'assert return_free_pages()\n'
    'print(mib() - before)\n'
    'assert all(block == bytearray(b"y") * 2_000 for block in small)\n'
)


THREADS = (
    'import sys\n'
    'from trt_perception.nodes.memory import keep_freed_memory\n'
    'import resource, threading\n'
    'assert keep_freed_memory() is (sys.argv[1] == "kept")\n'
    'mib = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20\n'
    'before = mib()\n'
    'done = threading.Event()\n'
    'def work(ready):\n'
    '    images = [bytearray(b"x") * 500_000 for _ in range(60)]; images.clear()\n'
    '    ready.set(); done.wait()\n'
    'for _ in range(5):\n'
    '    ready = threading.Event()\n'
    '    threading.Thread(target=work, args=[ready]).start(); ready.wait()\n'
    'print(mib() - before); done.set()\n'
)


def told_by(script: str, *arguments: str, **variables: str) -> list[int]:
    """The numbers that a script prints, run by itself with no other variables set."""
    done = subprocess.run(
        [sys.executable, '-c', script, *arguments],
        capture_output=True,
        text=True,
        env={'PYTHONPATH': ':'.join(sys.path), **variables},
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def page_faults(which: str, **variables: str) -> int:
    """How many pages a process had to ask for, for 20 blocks of 32 MiB one after the other."""
    (count,) = told_by(FAULTS, which, **variables)
    return count


@pytest.mark.parametrize('name', ['MALLOC_ARENA_MAX', 'MALLOC_TRIM_THRESHOLD_'])
def test_a_choice_of_the_user_stands(name):
    assert not keep_freed_memory({name: '1'})


def test_without_the_functions_of_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: object())
    assert not keep_freed_memory({})
    assert not give_freed_memory_back()
    assert not return_free_pages()


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc has these thresholds')
def test_memory_that_was_freed_is_used_again():
    pages = (32 << 20) // 4096
    assert page_faults('kept') < 5 * pages
    assert page_faults('not kept', MALLOC_MMAP_THRESHOLD_='131072') > 15 * pages


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc has these thresholds')
@pytest.mark.parametrize('script', [PAGES, FRAGMENTS], ids=['network', 'images'])
def test_memory_that_is_free_between_blocks_in_use_is_given_back(script):
    """100 MB as a network takes them in a thread that ends, or as images; small blocks stay."""
    kept, given_back = told_by(script)
    assert kept > 60
    assert given_back < 20


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc has these thresholds')
def test_threads_that_need_memory_in_turn_share_it():
    """30 MB in each of five threads, one after the other."""
    (grown_mib,) = told_by(THREADS, 'kept')
    assert grown_mib < 60
    large = {'MALLOC_MMAP_THRESHOLD_': '1073741824', 'MALLOC_TRIM_THRESHOLD_': '1073741824'}
    (grown_mib,) = told_by(THREADS, 'not kept', **large)
    assert grown_mib > 100, 'what it is for'


def test_a_ring_of_objects_is_freed():
    """Such as the one that holds a pipeline that was closed, with 4 MB of buffers."""

    class Ring:
        pass

    ring = Ring()
    ring.itself = ring
    gone = weakref.ref(ring)
    gc.disable()
    try:
        del ring
        assert gone() is not None
        give_freed_memory_back()
        assert gone() is None
    finally:
        gc.enable()
