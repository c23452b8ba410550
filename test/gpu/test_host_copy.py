import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.gpu import host_copy
from trt_perception.gpu.host_copy import FrameCopy, RowSet


def arrived(plan, data):
    """What lies on the GPU after the copies; 7 where nothing was written."""
    staged = np.full(plan.staged + 1, 9, np.uint8)
    there = np.full(plan.nbytes + 1, 7, np.uint8)
    for start, part, rows in plan.parts(data, staged[:-1]):
        assert np.shares_memory(part, staged if plan.staged else data)
        if rows is None:
            there[start : start + len(part)] = part
            continue
        for number in range(rows.height):
            row = part[number * rows.host_step :][: rows.nbytes]
            there[start + number * rows.device_step :][: rows.nbytes] = row
            assert len(row) == rows.nbytes
    assert staged[-1] == 9, 'nothing beside the memory'
    assert there[-1] == 7
    return there[:-1]


def noise(nbytes, seed=0):
    return np.random.default_rng(seed).integers(0, 256, nbytes, np.uint8)


@pytest.fixture(params=[1 << 30, 0], ids=['one core', 'threads'])
def worth_threads(request, monkeypatch):
    monkeypatch.setattr(host_copy, '_WORTH_THREADS', request.param)


@settings(max_examples=25, deadline=None)
@given(
    nbytes=st.integers(1, 40_000),
    in_place=st.booleans(),
    piece=st.integers(1, 20_000),
    threads=st.booleans(),
)
def test_every_byte_arrives(nbytes, in_place, piece, threads):
    data = noise(nbytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_copy, '_PIECE', piece)
        patch.setattr(host_copy, '_WORTH_THREADS', 0 if threads else 1 << 30)
        np.testing.assert_array_equal(
            arrived(FrameCopy(nbytes, 1, 1, in_place=in_place), data), data
        )


@settings(max_examples=40, deadline=None)
@given(
    period=st.integers(1, 6),
    count=st.integers(1, 30),
    row=st.integers(1, 300),
    padding=st.integers(0, 9),
    in_place=st.booleans(),
    piece=st.integers(1, 3000),
    drawn=st.data(),
)
def test_only_the_rows_that_are_read_arrive(period, count, row, padding, in_place, piece, drawn):
    firsts = drawn.draw(st.sets(st.integers(0, period - 1), min_size=1))
    step = row + padding
    nbytes = (period * count - 1) * step + row  # the last row may lack its padding
    data = noise(nbytes)
    sets = [RowSet(first, period, count) for first in sorted(firsts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_copy, '_PIECE', piece)
        patch.setattr(host_copy, '_WORTH_THREADS', 0)
        found = arrived(FrameCopy(nbytes, step, row, sets, in_place=in_place), data)
    for number in range(period * count):
        there = found[number * step :][:row]
        if number % period in firsts:
            np.testing.assert_array_equal(there, data[number * step :][:row])
        else:
            assert (there == 7).all()


@pytest.mark.parametrize('nbytes', [1920 * 1080 * 3, 3840 * 2160 * 4, (1 << 22) + 1])
def test_large_frames_go_in_several_parts(nbytes, worth_threads):
    data = noise(nbytes)
    plan = FrameCopy(nbytes, 1, 1, in_place=False)
    np.testing.assert_array_equal(arrived(plan, data), data)
    assert len(list(plan.parts(data, np.empty(nbytes, np.uint8)))) > 1


def test_a_frame_in_place_needs_no_memory():
    assert FrameCopy(100, 10, 10, in_place=True).staged == 0
    assert FrameCopy(100, 10, 10, [RowSet(1, 2, 5)], in_place=True).staged == 0
    assert FrameCopy(100, 10, 8, [RowSet(1, 2, 5)], in_place=False).staged == 40
    assert FrameCopy(100, 10, 10, in_place=False).staged == 100


def test_read_only_data_is_read(worth_threads):
    data = noise(600_000)
    data.flags.writeable = False
    for sets in ([], [RowSet(1, 3, 200)]):
        found = arrived(FrameCopy(600_000, 1000, 1000, sets, in_place=False), data)
        np.testing.assert_array_equal(found[1000:2000], data[1000:2000])
