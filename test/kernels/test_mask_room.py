"""Room for the masks of an image: it grows with need, and again some time after a shortage."""

from __future__ import annotations

import pytest

from trt_perception.kernels.mask_room import FIRST_ROOM, MOST_ROOM, PATIENCE, MaskRoom

AREA = 1 << 20


def lacking(room: MaskRoom, times: float = 1e3) -> int:
    """What there is after an image whose masks needed so many times its pixels."""
    room.lacked(round(times * AREA), AREA)
    return room.bytes_for(AREA)


def serve(room: MaskRoom, batches: int) -> int:
    """What there is after batches that lack room, and whose results could be had."""
    for _ in range(batches):
        room.served()
        lacking(room)
    return room.bytes_for(AREA) // AREA


def test_nothing_was_needed_yet():
    assert MaskRoom().bytes_for(AREA) == FIRST_ROOM * AREA


def test_small_images_have_some_room_all_the_same():
    assert MaskRoom().bytes_for(1) == 1 << 20


def test_twice_the_need_as_far_as_it_goes():
    room = MaskRoom()
    assert lacking(room, 1.0) == FIRST_ROOM * AREA
    assert lacking(room, 5.0) == 10 * AREA
    assert lacking(room) == MOST_ROOM * AREA


def test_a_shortage_halves_it_down_to_what_there_is_at_first():
    room = MaskRoom()
    lacking(room)
    found = []
    for _ in range(5):
        room.ask_less()
        found.append(room.bytes_for(AREA) // AREA)
    assert found == [16, 8, 4, 4, 4]


def test_it_grows_back_after_a_while_where_it_is_needed():
    room = MaskRoom()
    lacking(room)
    room.ask_less()
    assert serve(room, PATIENCE - 1) == MOST_ROOM // 2
    assert serve(room, 1) == MOST_ROOM


def test_without_a_need_nothing_grows():
    room = MaskRoom()
    lacking(room)
    room.ask_less()
    for _ in range(2 * PATIENCE):
        room.served()
    assert room.bytes_for(AREA) == MOST_ROOM // 2 * AREA


def test_a_lasting_shortage_is_asked_about_ever_more_seldom():
    """Each time costs a frame."""
    room = MaskRoom()
    lacking(room)
    refused = 0
    for _ in range(100 * PATIENCE):
        room.served()
        if lacking(room) > MOST_ROOM // 2 * AREA:
            room.ask_less()
            refused += 1
    assert refused == 7  # at once, then after 1000, 2000, 4000, ... batches


def test_a_shortage_that_is_over_is_forgotten():
    room = MaskRoom()
    lacking(room)
    for _ in range(3):
        room.ask_less()
    assert serve(room, 8 * PATIENCE) == MOST_ROOM
    room.ask_less()
    assert serve(room, PATIENCE) == MOST_ROOM


@pytest.mark.parametrize('times', [1e3, 20.0])
def test_what_there_is_not_is_said_once_and_what_grows_each_time(caplog, times):
    room = MaskRoom()
    for _ in range(3):
        lacking(room, times)
    assert len(caplog.messages) == 1
    room.ask_less()
    for _ in range(3):
        lacking(room, times)
    assert len(caplog.messages) == (1 if times > MOST_ROOM else 2)
