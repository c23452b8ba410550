"""What the C library says is in use."""

from __future__ import annotations

import ctypes
import platform

import pytest

from trt_perception.monitoring.heap import heap_in_use_bytes
from trt_perception.monitoring.process_state import ProcessSource

glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc says it')


def test_a_c_library_that_does_not_say(monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: object())
    assert heap_in_use_bytes() == 0


@glibc_only
@pytest.mark.parametrize('block', [2_000, 64 << 20], ids=['in the heap', 'mapped'])
def test_what_is_asked_for_counts_until_it_is_freed(block):
    before = heap_in_use_bytes()
    held = [bytearray(block) for _ in range(max(1, (64 << 20) // block))]
    grown = heap_in_use_bytes() - before
    assert (60 << 20) < grown < (80 << 20)
    del held
    assert heap_in_use_bytes() - before < 4 << 20


@glibc_only
def test_it_is_a_part_of_the_state_of_this_process():
    assert ProcessSource().read().heap_bytes > 1 << 20
