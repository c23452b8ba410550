"""Ids over time: what keeps them, what ends them, and that nothing else changes them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.results import Detections, InstanceMask
from trt_perception.tracking.settings import TRACKERS, TrackerSettings
from trt_perception.tracking.tracker import Tracker

S = 1_000_000_000
SIZE = (640, 480)
KINDS = [kind for kind in TRACKERS if kind != 'none']
WALKER, CAR = [100, 200, 140, 300], [300, 220, 460, 320]


def detections(*rows, size=SIZE, looks=None):
    """From rows of box, score and class."""
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], np.float32)
    classes = np.array([row[2] for row in rows], np.int64)
    return Detections(boxes, scores, classes, size, embeddings=looks)


def tracker(kind='bytetrack', **kwargs):
    return Tracker(TrackerSettings(kind, **kwargs))


def ids_of(tracker, *rows, at, **kwargs):
    """Ids of one frame; `at` seconds."""
    return tracker.update(detections(*rows, **kwargs), round(at * S)).track_ids.tolist()


def moved(box, x, y=0.0):
    return [box[0] + x, box[1] + y, box[2] + x, box[3] + y]


def random_frames(seed, count, objects):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 600, (objects, 2))
    sizes = random.uniform(5, 120, (objects, 2))
    speeds = random.normal(0, 40, (objects, 2))
    frames, stamp_ns = [], S
    for _ in range(count):
        stamp_ns += round(float(random.choice([0.03, 0.1, 0.4])) * S)
        low = corners + stamp_ns / S * speeds
        kept = random.random(objects) < 0.8
        boxes = np.concatenate([low, low + sizes], axis=1)[kept].astype(np.float32)
        scores = random.uniform(0.1, 1, objects)[kept].astype(np.float32)
        classes = (np.arange(objects) % 3)[kept]
        frames.append((Detections(boxes, scores, classes, SIZE), stamp_ns))
    return frames


@pytest.mark.parametrize('kind', KINDS)
def test_no_objects(kind):
    found = tracker(kind).update(detections(), S)
    assert found.track_ids.tolist() == []
    assert found.track_ids.dtype == np.int64


@pytest.mark.parametrize('kind', KINDS)
def test_an_object_keeps_its_id(kind):
    following = tracker(kind)
    for step in range(20):
        at = 1 + step / 10
        rows = (moved(WALKER, 4 * step), 0.9, 0), (moved(CAR, -9 * step), 0.8, 1)
        assert ids_of(following, *rows, at=at) == [1, 2]


def test_everything_else_of_a_result_stays():
    masks = [InstanceMask(1, 2, np.ones((2, 2), bool))]
    given_ = Detections(
        np.array([WALKER], np.float32),
        np.array([0.9], np.float32),
        np.array([3], np.int64),
        SIZE,
        masks,
    )
    found = tracker().update(given_, S)
    assert found.masks is masks
    assert found.boxes is given_.boxes
    assert found.track_ids.tolist() == [1]
    assert given_.track_ids is None


def test_an_object_that_is_not_sure_waits_for_its_id():
    following = tracker(confirmations=3)
    rows = [ids_of(following, (WALKER, 0.5, 0), at=1 + step / 10) for step in range(4)]
    assert rows == [[-1], [-1], [1], [1]]


def test_a_sure_object_beside_a_known_one_of_another_class_waits():
    """It is most likely the same, mistaken for something else."""
    following = tracker()
    ids_of(following, (CAR, 0.9, 0), at=1.0)
    assert ids_of(following, (CAR, 0.9, 1), at=1.1) == [-1]
    assert ids_of(following, (CAR, 0.9, 0), at=1.2) == [1]


def test_a_weak_object_begins_nothing_but_goes_on():
    following = tracker()
    assert ids_of(following, (WALKER, 0.3, 0), at=1.0) == [-1]
    assert ids_of(following, (WALKER, 0.3, 0), at=1.1) == [-1]
    assert ids_of(following, (WALKER, 0.9, 0), at=1.2) == [1]
    assert ids_of(following, (WALKER, 0.3, 0), at=1.3) == [1]
    following.settings = TrackerSettings('sort')
    assert ids_of(following, (WALKER, 0.3, 0), at=1.4) == [-1]
    assert ids_of(following, (WALKER, 0.9, 0), at=1.5) == [1]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('rate', [10, 15, 30])
@pytest.mark.parametrize('speed', [0.0, 60.0, -60.0])
def test_an_id_survives_a_second_of_occlusion(kind, rate, speed):
    """Boxes with noise, seen for two seconds, then hidden for one."""
    random = np.random.default_rng(rate)
    following = tracker(kind)
    for step in range(4 * rate):
        at = step / rate
        noise = random.normal(0, 1.5, 4)
        walker = (np.array(moved(WALKER, 100 + speed * at)) + noise, 0.9, 0)
        car = (CAR, 0.9, 1)
        hidden = 2 <= at < 3
        found = ids_of(following, *([car] if hidden else [walker, car]), at=1 + at)
        assert found == ([2] if hidden else [1, 2])


def test_an_id_ends_with_the_memory():
    following = tracker(memory=1.0)
    for step in range(10):
        ids_of(following, (WALKER, 0.9, 0), (CAR, 0.9, 1), at=1 + step / 10)
    for step in range(12):
        ids_of(following, (CAR, 0.9, 1), at=2 + step / 10)
    assert ids_of(following, (WALKER, 0.9, 0), (CAR, 0.9, 1), at=3.2) == [3, 2]


def test_empty_frames_age_objects():
    following = tracker(memory=1.0)
    ids_of(following, (WALKER, 0.9, 0), at=1.0)
    for step in range(1, 12):
        ids_of(following, at=1 + step / 10)
    assert ids_of(following, (WALKER, 0.9, 0), at=2.2) == [2]


@pytest.mark.parametrize('kind', KINDS)
def test_objects_of_two_classes_that_cross_never_swap(kind):
    following = tracker(kind)
    for step in range(41):
        x = 6.0 * (step - 20)
        rows = (moved(WALKER, 200 + x), 0.9, 0), (moved(WALKER, 200 - x), 0.9, 2)
        assert ids_of(following, *rows, at=1 + step / 15) == [1, 2]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(KINDS))
def test_an_id_never_changes_its_class_and_is_never_given_twice(seed, kind):
    following = tracker(kind)
    classes: dict[int, int] = {}
    highest, ended = 0, set()
    for frame, stamp_ns in random_frames(seed, 25, 12):
        found = following.update(frame, stamp_ns)
        named = found.track_ids[found.track_ids >= 0].tolist()
        assert len(set(named)) == len(named)
        for name, of in zip(found.track_ids.tolist(), found.class_ids.tolist(), strict=True):
            if name >= 0:
                assert classes.setdefault(name, of) == of
                assert name not in ended
        if seed % 3 == 0 and highest and stamp_ns % 7 == 0:
            following.reset()
            ended |= set(classes)
        new = [name for name in named if name > highest]
        assert new == sorted(new) or set(new) == set(range(highest + 1, highest + 1 + len(new)))
        highest = max([highest, *named])


def test_ids_after_a_reset_are_new():
    following = tracker()
    assert ids_of(following, (WALKER, 0.9, 0), at=1.0) == [1]
    following.reset()
    assert ids_of(following, (WALKER, 0.9, 0), at=1.1) == [2]


@pytest.mark.parametrize('jump', [-0.05, -100.0, 3.1, 1e6])
def test_a_clock_that_jumps_is_a_new_beginning(jump):
    following = tracker(memory=3.0)
    for step in range(5):
        assert ids_of(following, (WALKER, 0.9, 0), at=1000 + step / 10) == [1]
    for step in range(5):
        assert ids_of(following, (WALKER, 0.9, 0), at=1000.4 + jump + step / 10) == [2]


def test_an_image_of_another_size_is_a_new_beginning():
    following = tracker()
    assert ids_of(following, (WALKER, 0.9, 0), at=1.0) == [1]
    assert ids_of(following, (WALKER, 0.9, 0), at=1.1, size=(1280, 960)) == [2]


def test_a_stamp_that_comes_twice_is_no_jump():
    following = tracker()
    assert [ids_of(following, (WALKER, 0.9, 0), at=1.0) for _ in range(3)] == [[1]] * 3


def test_frames_without_stamps_are_followed():
    following = tracker()
    for step in range(10):
        found = following.update(detections((moved(WALKER, 5 * step), 0.9, 0)))
        assert found.track_ids.tolist() == [1]


@pytest.mark.parametrize('kind', KINDS)
def test_the_same_frames_give_the_same_ids(kind):
    first, second = (
        [tracker_.update(*frame).track_ids.tolist() for frame in random_frames(5, 40, 30)]
        for tracker_ in (tracker(kind), tracker(kind))
    )
    assert first == second


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('objects', [0, 1, 50, 300])
def test_any_number_of_objects(kind, objects):
    following = tracker(kind)
    for frame, stamp_ns in random_frames(objects, 6, objects):
        found = following.update(frame, stamp_ns)
        assert len(found.track_ids) == len(frame)
        motion = following.tracks.motion
        for part in (motion.places, motion.speeds, motion.place_variance, motion.speed_variance):
            assert np.isfinite(part).all()


def test_more_objects_than_can_be_followed_are_left_without_ids():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 5000, (1200, 2))
    boxes = np.concatenate([corners, corners + 8], axis=1).astype(np.float32)
    scores = random.uniform(0.7, 1, 1200).astype(np.float32)
    many = Detections(boxes, scores, np.zeros(1200, np.int64), (5000, 5000))
    following = tracker(confirmations=1)
    found = following.update(many, S)
    assert np.count_nonzero(found.track_ids >= 0) == 1000
    assert scores[found.track_ids < 0].max() <= scores[found.track_ids >= 0].min()


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', ['box', 'score', 'look'])
def test_what_is_no_number_gets_no_id_and_harms_nobody(bad, place):
    following = tracker('deepsort')
    for step in range(4):
        boxes = np.array([WALKER, CAR], np.float32)
        scores = np.array([0.9, 0.8], np.float32)
        looks = np.eye(2, 8, dtype=np.float32)
        if step == 2:
            {'box': boxes[1], 'score': scores[1:], 'look': looks[1]}[place][:1] = bad
        frame = Detections(boxes, scores, np.array([0, 1]), SIZE, embeddings=looks)
        expected = [1, -1] if step == 2 and place != 'look' else [1, 2]
        assert following.update(frame, S + step * S // 10).track_ids.tolist() == expected


def test_boxes_without_an_area_get_no_id():
    following = tracker()
    rows = ([10, 10, 10, 50], 0.9, 0), ([10, 10, 50, 10], 0.9, 0), ([50, 50, 10, 10], 0.9, 0)
    assert ids_of(following, *rows, at=1.0) == [-1, -1, -1]


def crossing(kind, looks):
    """Two walkers of one class meet, are hidden behind each other, and turn back."""
    following = tracker(kind)
    frames = []
    for step in range(40):
        away = abs(step - 20) * 5.0
        rows = [(moved(WALKER, 200 + away), 0.9, 0), (moved(WALKER, 200 - away), 0.9, 0)]
        known = looks.copy()
        if 14 < step < 26:
            rows, known = rows[:0], known[:0]
        frames.append(ids_of(following, *rows, at=1 + step / 10, looks=known))
    return frames[10], frames[-1]


def test_looks_tell_apart_what_motion_cannot():
    looks = np.eye(2, 8, dtype=np.float32)
    before, after = crossing('deepsort', looks)
    assert before == after == [1, 2]
    before, after = crossing('bytetrack', looks)  # expects them to have gone on past each other
    assert before == [1, 2]
    assert after != [1, 2]


def test_embeddings_that_come_and_go_or_change_their_length_do_no_harm():
    following = tracker('deepsort')
    lengths = itertools.cycle([None, 4, 16, 4, None])
    for step, length in zip(range(15), lengths, strict=False):
        looks = None if length is None else np.eye(2, length, dtype=np.float32)
        rows = (WALKER, 0.9, 0), (CAR, 0.9, 0)
        assert ids_of(following, *rows, at=1 + step / 10, looks=looks) == [1, 2]


@pytest.mark.parametrize('method', ['flow', 'orb'])
def test_the_cameras_own_motion_is_taken_out(method):
    """The camera turns so fast that nothing overlaps with itself in the next image."""
    random = np.random.default_rng(1)
    world = np.kron(random.integers(0, 255, (48, 200, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    boxes = np.array([[40, 100, 52, 130], [250, 220, 262, 250]], float)
    found = {}
    for motion in ('none', method):
        following = tracker(camera_motion=motion)
        found[motion] = []
        for step in range(5):
            left = 20 * step * (step + 1) // 2
            shifted = boxes - [left, 0, left, 0] + [500, 0, 500, 0]
            frame = Detections(
                shifted.astype(np.float32), np.full(2, 0.9, np.float32), np.zeros(2, int), SIZE
            )
            image = np.ascontiguousarray(world[:, left : left + 640])
            named = following.update(frame, S + step * S // 10, image)
            found[motion].append(named.track_ids.tolist())
    assert found[method] == [[1, 2]] * 5
    assert found['none'][-1] != [1, 2]
