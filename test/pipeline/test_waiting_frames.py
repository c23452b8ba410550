import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.pipeline.waiting_frames import QUIET_S, WaitingFrames


def waiting(cameras=4, max_batch=4, deadline_s=0.0) -> WaitingFrames[str]:
    return WaitingFrames(cameras, max_batch=max_batch, deadline_s=deadline_s)


def test_nothing_waits_at_first():
    frames = waiting()
    assert frames.due_in_s(0.0) is None
    assert frames.take() == []
    assert frames.clear() == []


@pytest.mark.parametrize('wrong', [(0, 1, 0.0), (1, 0, 0.0), (1, 1, -0.1)])
def test_what_makes_no_sense_is_refused(wrong):
    cameras, max_batch, deadline_s = wrong
    with pytest.raises(ValueError, match='cameras'):
        waiting(cameras, max_batch, deadline_s)


def test_the_newest_frame_of_a_camera_wins():
    frames = waiting()
    assert frames.put(1, 'old', 0.0) is None
    assert frames.put(1, 'new', 0.1) == 'old'
    assert frames.take() == [(1, 'new')]
    assert frames.due_in_s(0.2) is None


def test_a_full_batch_is_closed_at_once():
    frames = waiting(max_batch=2, deadline_s=1.0)
    for camera in (0, 1, 2, 3):
        frames.put(camera, 'before', 0.0)
    frames.clear()
    frames.put(2, 'a', 0.5)
    assert frames.due_in_s(0.5) == pytest.approx(1.0)
    frames.put(0, 'b', 0.6)
    assert frames.due_in_s(0.6) == 0.0


def test_the_oldest_frame_sets_the_deadline_and_its_replacement_does_not_move_it():
    frames = waiting(2, 2, deadline_s=0.010)
    frames.put(1, 'it delivers', 0.0)
    frames.take()
    frames.put(0, 'a', 0.100)
    frames.put(0, 'b', 0.108)
    assert frames.due_in_s(0.108) == pytest.approx(0.002)
    assert frames.due_in_s(0.2) == 0.0
    assert frames.take() == [(0, 'b')]


def test_nobody_waits_for_a_camera_that_is_dead():
    frames = waiting(2, 2, deadline_s=0.5)
    frames.put(0, 'a', 0.0)
    assert frames.due_in_s(0.0) == 0.0, 'the other one never delivered'
    frames.put(1, 'b', 0.0)
    frames.take()
    frames.put(0, 'c', 0.1)
    assert frames.due_in_s(0.1) == pytest.approx(0.5), 'the other one delivered lately'
    frames.put(0, 'd', QUIET_S + 0.1)
    assert frames.due_in_s(QUIET_S + 0.1) == 0.0


def test_the_least_recently_served_goes_first():
    frames = waiting(3, 1)
    order = []
    for step in range(9):
        for camera in range(3):
            frames.put(camera, 'x', float(step))
        order += [camera for camera, _ in frames.take()]
    assert order == [0, 1, 2] * 3


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda cameras: st.tuples(
            st.just(cameras),
            st.integers(1, 6),
            st.lists(st.integers(-1, cameras - 1), max_size=120),
        )
    )
)
def test_nothing_is_lost_and_nobody_starves(case):
    """A step is a frame of one camera, or, for -1, a batch."""
    cameras, max_batch, steps = case
    frames: WaitingFrames[tuple[int, int]] = WaitingFrames(
        cameras, max_batch=max_batch, deadline_s=0.0
    )
    newest: dict[int, tuple[int, int]] = {}
    passed_over = dict.fromkeys(range(cameras), 0)
    for number, step in enumerate(steps):
        if step >= 0:
            assert frames.put(step, (step, number), float(number)) == newest.get(step)
            newest[step] = (step, number)
            continue
        batch = dict(frames.take())
        assert len(batch) == min(max_batch, len(newest))
        for camera, item in batch.items():
            assert newest.pop(camera) == item
            passed_over[camera] = 0
        for camera in newest:
            passed_over[camera] += 1
            assert passed_over[camera] <= (cameras - 1) // max_batch + 1
    assert dict(frames.clear()) == newest


WORK_S = 0.004


def heard(*periods_s: float, until_s: float = 1.0) -> WaitingFrames[str]:
    """Cameras that kept their periods so far and brought their last frame before `until_s`."""
    frames = waiting(len(periods_s), 1)
    moments = sorted(
        (number * period_s, camera)
        for camera, period_s in enumerate(periods_s)
        for number in range(int(until_s / period_s + 0.999))
    )
    for now_s, camera in moments:
        frames.put(camera, 'before', now_s)
        frames.take()
    frames.worked(WORK_S)
    return frames


def test_the_frame_of_a_faster_camera_waits_for_one_that_is_expected():
    frames = heard(0.03, 0.1)
    frames.put(0, 'more', 0.998)
    assert frames.due_in_s(0.998) == pytest.approx(0.002, abs=0.001)
    frames.put(1, 'expected', 1.0)
    assert frames.due_in_s(1.0) == 0.0
    assert frames.take() == [(1, 'expected')]
    assert frames.due_in_s(1.004) == 0.0, 'the next one is far'
    assert frames.take() == [(0, 'more')]


def test_it_does_not_wait_where_it_is_through_before():
    frames = heard(0.03, 0.1)
    frames.put(0, 'more', 0.98)
    assert frames.due_in_s(0.98) == 0.0


def test_it_does_not_wait_for_what_does_not_come():
    frames = heard(0.03, 0.1)
    frames.put(0, 'more', 0.998)
    assert frames.due_in_s(1.001) == 0.0


def test_it_goes_before_its_own_next_one_would_replace_it():
    frames = heard(0.015, 0.1)
    frames.worked(0.014)  # 9 ms in the middle
    frames.put(0, 'more', 0.992)
    assert frames.due_in_s(0.992) == pytest.approx(0.015 - 0.009, abs=0.0005)


def test_it_waits_for_two_batches_at_most():
    frames = heard(0.03, *[0.1] * 4)
    frames.put(0, 'more', 0.9905)
    frames.put(0, 'still more', 0.998)
    assert frames.due_in_s(0.998) == pytest.approx(0.9905 + 2 * WORK_S - 0.998)


def test_it_does_not_wait_where_the_network_has_little_time_to_spare():
    frames = heard(0.03, 0.1)
    for _ in range(9):
        frames.worked(0.7 / (1 / 0.03 + 1 / 0.1) + 0.0001)
    frames.put(0, 'more', 0.998)
    assert frames.due_in_s(0.998) == 0.0


def test_it_does_not_grow_too_old_over_its_wait():
    frames = heard(0.03, 0.1)
    frames.put(0, 'more', 0.9965)
    assert frames.due_in_s(0.9965) > 0.003
    assert frames.due_in_s(0.9965, max_age_s=0.004) == pytest.approx(0.002)


@pytest.mark.parametrize(
    ('periods_s', 'why'),
    [
        ((0.1, 0.1), 'cameras of one rate take turns'),
        ((0.09, 0.1), 'nearly one rate'),
        ((0.3, 0.1), 'the slower camera waits for nobody'),
        ((0.03,), 'the only camera'),
    ],
)
def test_no_other_frame_waits(periods_s, why):
    for now_s in (0.9701, 0.9801, 0.9901, 0.9971, 0.9981, 0.9991):
        frames = heard(*periods_s)
        frames.put(0, 'a', now_s)
        assert frames.due_in_s(now_s) == 0.0, why


def test_nobody_waits_for_a_slower_camera_that_is_dead():
    frames = heard(0.03, 0.1)
    now_s = 1.02
    while now_s < 1.0 + QUIET_S + 0.2:
        frames.put(0, 'a', now_s)
        if now_s > 0.9 + QUIET_S:
            assert frames.due_in_s(now_s) == 0.0
        frames.clear()
        now_s += 0.03


def test_nothing_waits_before_it_is_known_how_long_a_batch_takes():
    frames = heard(0.03, 0.1)
    frames._worked_s.clear()
    frames.put(0, 'more', 0.998)
    assert frames.due_in_s(0.998) == 0.0
