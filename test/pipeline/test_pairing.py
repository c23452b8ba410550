"""Pairing of topics by stamp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.pipeline.pairing import Group, StampPairing

INPUTS = ('image', 'detections', 'mask')


def pairing(partners: tuple[str, ...] = INPUTS[1:], capacity: int = 16) -> StampPairing[str]:
    return StampPairing('image', partners, timeout_s=0.5, capacity=capacity)


def test_nothing_waits_at_the_start():
    pairs = pairing()
    assert len(pairs) == 0
    assert pairs.overdue(1e9) == []


def test_an_image_without_expected_partners_is_complete():
    assert pairing(()).add('image', 7, 'i', 0.0) == [Group(7, {'image': 'i'}, frozenset())]


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_the_last_of_a_stamp_completes_it_in_any_order(order: tuple[int, int, int]):
    pairs = pairing()
    first, second, third = (INPUTS[i] for i in order)
    assert pairs.add(first, 7, first, 0.0) == []
    assert pairs.add(second, 7, second, 0.1) == []
    [group] = pairs.add(third, 7, third, 0.2)
    assert group == Group(7, {name: name for name in INPUTS}, frozenset())
    assert len(pairs) == 0


def test_stamps_that_differ_by_a_nanosecond_do_not_pair():
    pairs = pairing(('detections',))
    assert pairs.add('image', 1_000_000_000, 'i', 0.0) == []
    assert pairs.add('detections', 1_000_000_001, 'd', 0.0) == []
    assert len(pairs) == 2


def test_what_is_there_is_handed_out_after_the_timeout():
    pairs = pairing()
    pairs.add('image', 7, 'i', 0.0)
    pairs.add('mask', 7, 'm', 0.1)
    assert pairs.overdue(0.49) == []
    [group] = pairs.overdue(0.5)
    assert group.missing == {'detections'}
    assert group.items == {'image': 'i', 'mask': 'm'}


def test_partners_without_an_image_are_never_handed_out():
    pairs = pairing()
    pairs.add('detections', 7, 'd', 0.0)
    assert pairs.overdue(10.0) == []
    assert len(pairs) == 0


def test_an_older_group_gives_way_to_a_complete_one():
    pairs = pairing(('detections',))
    pairs.add('image', 1, 'dropped by the detector', 0.0)
    pairs.add('image', 2, 'i', 0.1)
    assert [g.stamp_ns for g in pairs.add('detections', 2, 'd', 0.2)] == [2]
    assert pairs.left_out == 1
    assert pairs.overdue(10.0) == []


def test_a_partner_that_comes_too_late_is_left_out():
    pairs = pairing(('detections',))
    pairs.add('image', 1, 'i', 0.0)
    assert len(pairs.overdue(0.5)) == 1
    assert pairs.add('detections', 1, 'd', 0.6) == []
    assert len(pairs) == 0


def test_images_that_all_bear_stamp_zero_still_pair():
    pairs = pairing(('detections',))
    for number in range(3):
        pairs.add('image', 0, f'i{number}', number * 0.1)
        [group] = pairs.add('detections', 0, f'd{number}', number * 0.1)
        assert group.items == {'image': f'i{number}', 'detections': f'd{number}'}


def test_stamps_may_go_back():
    pairs = pairing(('detections',))
    for stamp in (100, 50, 75):
        pairs.add('image', stamp, 'i', 0.0)
        assert [g.stamp_ns for g in pairs.add('detections', stamp, 'd', 0.0)] == [stamp]


def test_clear_forgets_what_waits_and_tells_how_many_images_that_were():
    pairs = pairing()
    assert pairs.clear() == 0
    pairs.add('image', 7, 'i', 0.0)
    pairs.add('image', 8, 'i', 0.0)
    pairs.add('detections', 9, 'd', 0.0)
    assert pairs.clear() == 2
    assert pairs.overdue(10.0) == []
    assert len(pairs) == 0


def test_an_unknown_input_is_refused():
    with pytest.raises(ValueError, match="'depth' is not one of"):
        pairing().add('depth', 1, 'x', 0.0)


def test_a_capacity_of_none_is_refused():
    with pytest.raises(ValueError, match='at least 1'):
        pairing(capacity=0)


Event = tuple[str, int, float]
events = st.lists(
    st.tuples(st.sampled_from(INPUTS), st.integers(0, 6), st.floats(0.0, 0.3)), max_size=60
)


@given(events, st.integers(1, 5))
def test_whatever_comes_groups_hold_one_stamp_and_few_wait(events: list[Event], capacity: int):
    pairs = pairing(capacity=capacity)
    now = 0.0
    unused: dict[tuple[str, int], int] = {}
    for number, (name, stamp, pause) in enumerate(events):
        now += pause
        unused[name, stamp] = number
        for group in pairs.add(name, stamp, f'{name} {stamp} {number}', now):
            assert 'image' in group.items
            assert group.missing == set(INPUTS) - set(group.items)
            for input_name, item in group.items.items():
                newest = unused.pop((input_name, group.stamp_ns))
                assert item == f'{input_name} {group.stamp_ns} {newest}'
        assert len(pairs) <= capacity


@given(st.lists(st.permutations(INPUTS), max_size=20))
def test_streams_without_loss_come_out_whole_and_in_order(orders: list[list[str]]):
    pairs = pairing()
    seen = []
    for stamp, order in enumerate(orders):
        for name in order:
            seen += pairs.add(name, stamp, name, stamp * 10.0)
    assert [group.stamp_ns for group in seen] == list(range(len(orders)))
    assert all(not group.missing for group in seen)


@given(st.sets(st.integers(0, 29)), st.integers(0, 4))
def test_every_image_with_its_partner_is_drawn_once(lost: set[int], delay: int):
    """A detector that answers `delay` frames late and loses some."""
    pairs = pairing(('detections',), capacity=8)
    complete = []
    for stamp in range(30 + delay):
        groups = pairs.add('image', stamp, 'i', stamp * 0.01) if stamp < 30 else []
        if stamp - delay >= 0 and stamp - delay not in lost:
            groups += pairs.add('detections', stamp - delay, 'd', stamp * 0.01)
        complete += [group.stamp_ns for group in groups if not group.missing]
    assert complete == [stamp for stamp in range(30) if stamp not in lost]
