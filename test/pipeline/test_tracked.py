"""Ids for several cameras: each has objects of its own, and no id belongs to two."""

from __future__ import annotations

import sys
import zipfile

import numpy as np
import pytest

from trt_perception.errors import MissingDependencyError
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.tracked import TrackedCameras
from trt_perception.results import Detections, SegmentationMap
from trt_perception.tracking import assignment
from trt_perception.tracking.settings import TrackerSettings

S = 1_000_000_000
IMAGE = np.zeros((48, 64, 3), np.uint8)
BYTETRACK = TrackerSettings('bytetrack')


def perceived(*boxes, looks=None):
    count = len(boxes)
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, 0.9, np.float32),
        np.zeros(count, np.int64),
        (64, 48),
        embeddings=looks,
    )
    return Perceived(found, IMAGE, {'decode': 1.0})


def ids(found):
    return found.result.track_ids.tolist()


def test_no_objects():
    assert ids(TrackedCameras(BYTETRACK).follow(perceived(), S)) == []


def test_without_a_tracker_nothing_is_touched():
    seen = perceived([0, 0, 9, 9])
    assert TrackedCameras().follow(seen, S) is seen


def test_what_has_no_objects_is_left_as_it_is():
    seen = Perceived(SegmentationMap(np.zeros((4, 4), np.uint8)), IMAGE, {})
    assert TrackedCameras(BYTETRACK).follow(seen, S) is seen


def test_each_camera_has_its_own_objects():
    tracked = TrackedCameras(BYTETRACK)
    for step in range(3):
        stamp_ns = S + step * S // 10
        assert ids(tracked.follow(perceived([0, 0, 9, 9]), stamp_ns, 'left')) == [1]
        # A clock of its own, and the same place in the picture.
        assert ids(tracked.follow(perceived([0, 0, 9, 9]), 9 * stamp_ns, 'right')) == [2]


def test_the_stage_is_timed_and_the_rest_stays():
    seen = perceived([0, 0, 9, 9])
    found = TrackedCameras(BYTETRACK).follow(seen, S)
    assert list(found.stages_ms) == ['decode', 'track']
    assert found.image is IMAGE
    assert found.result.boxes is seen.result.boxes
    assert seen.result.track_ids is None


def test_reset_begins_anew_with_new_ids():
    tracked = TrackedCameras(BYTETRACK)
    tracked.follow(perceived([0, 0, 9, 9]), S)
    tracked.reset()
    assert ids(tracked.follow(perceived([0, 0, 9, 9]), S + 1)) == [2]


def test_settings_change_while_it_runs():
    tracked = TrackedCameras(BYTETRACK)
    assert ids(tracked.follow(perceived([0, 0, 9, 9]), S)) == [1]
    tracked.settings = TrackerSettings('sort')
    assert ids(tracked.follow(perceived([0, 0, 9, 9]), S + 1)) == [1]
    tracked.settings = TrackerSettings()
    assert tracked.follow(perceived([0, 0, 9, 9]), S + 2).result.track_ids is None


def test_deepsort_says_that_it_lacks_embeddings():
    tracked = TrackedCameras(TrackerSettings('deepsort'))
    tracked.follow(perceived(), S)
    assert tracked.note == ''
    tracked.follow(perceived([0, 0, 9, 9]), S)
    assert 'no embeddings' in tracked.note
    tracked.follow(perceived([0, 0, 9, 9], looks=np.ones((1, 1), np.float32)), S)
    assert tracked.note == ''


def test_the_cameras_motion_is_read_off_the_image():
    tracked = TrackedCameras(TrackerSettings('sort', camera_motion='flow'))
    for step in range(3):
        found = tracked.follow(perceived([0, 0, 9, 9]), S + step)
        assert ids(found) == [1]
        assert found.image is IMAGE


def test_without_scipy_a_tracker_is_refused_and_none_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy.optimize', None)
    assignment._linear_sum_assignment.cache_clear()
    TrackedCameras()
    with pytest.raises(MissingDependencyError, match='tracking'):
        TrackedCameras(BYTETRACK)
    monkeypatch.undo()


@pytest.mark.parametrize('motion', ['none', 'flow'])
@pytest.mark.parametrize('kind', ['sort', 'deepsort'])
def test_who_takes_over_goes_on_as_if_nothing_had_been(kind, motion, tmp_path):
    settings = TrackerSettings(kind, camera_motion=motion)
    draws = np.random.default_rng(5)
    picture = draws.integers(0, 255, (96, 128, 3), np.uint8)
    frames = []
    for step in range(30):
        starts = np.array([[5 + 2 * step, 10], [90 - step, 50], [40, 70]]) + draws.normal(0, 1)
        boxes = np.concatenate([starts, starts + 12], axis=1)[draws.permutation(3)]
        looks = draws.normal(size=(3, 4)).astype(np.float32) if kind == 'deepsort' else None
        found = Detections(
            boxes.astype(np.float32), np.full(3, 0.9, np.float32), np.zeros(3, np.int64),
            (128, 96), embeddings=looks,
        )  # fmt: skip
        image = np.roll(picture, step, axis=1)
        frames.append((Perceived(found, image, {}), S + step * S // 10, 'ab'[step % 2]))
    whole = TrackedCameras(settings)
    expected = [ids(whole.follow(*frame)) for frame in frames]
    in_turn, saved = [], tmp_path / 'tracks.npz'
    TrackedCameras(settings).save(saved)
    for frame in frames:
        tracked = TrackedCameras(settings)
        tracked.load(saved)
        in_turn.append(ids(tracked.follow(*frame)))
        tracked.save(saved)
    assert in_turn == expected
    assert len({i for found in expected for i in found}) >= 6


def test_what_is_no_saved_file_is_refused(tmp_path):
    tracked = TrackedCameras(BYTETRACK)
    with pytest.raises(OSError, match='No such file'):
        tracked.load(tmp_path / 'missing.npz')
    (tmp_path / 'broken.npz').write_bytes(b'PK broken')
    with pytest.raises((ValueError, KeyError, OSError, zipfile.BadZipFile)):
        tracked.load(tmp_path / 'broken.npz')
