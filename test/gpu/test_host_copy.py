import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.gpu.host_copy import HostCopy, helping_threads


def test_nothing_has_no_pieces():
    empty = np.zeros(0, np.uint8)
    with HostCopy(2) as copy:
        assert list(copy.pieces(empty, empty)) == []


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 9 << 20), helpers=st.integers(0, 4))
def test_everything_is_copied_once_in_order(size, helpers):
    source = np.resize(np.arange(251, dtype=np.uint8), size)
    target = np.zeros(size + 1, np.uint8)
    with HostCopy(helpers) as copy:
        end = 0
        for part in copy.pieces(target[:size], source):
            assert part.start == end
            np.testing.assert_array_equal(target[part], source[part])
            end = part.stop
    assert end == size
    assert target[size] == 0


def test_who_stops_early_leaves_no_copy_under_way():
    source = np.ones(8 << 20, np.uint8)
    target = np.zeros_like(source)
    with HostCopy(3) as copy:
        parts = copy.pieces(target, source)
        next(parts)
        parts.close()
        assert target.all(), 'every thread has finished'


def test_threads_end_with_it():
    before = threading.active_count()
    with HostCopy(3) as copy:
        list(copy.pieces(np.zeros(4 << 20, np.uint8), np.zeros(4 << 20, np.uint8)))
        assert threading.active_count() > before
    assert threading.active_count() == before


@pytest.mark.parametrize(('cores', 'helpers'), [(1, 0), (2, 0), (4, 1), (8, 2), (64, 3)])
def test_few_cores_are_left_alone(monkeypatch, cores, helpers):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: set(range(cores)))
    assert helping_threads() == helpers
