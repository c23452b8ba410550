"""Ids for several cameras: each has objects of its own, and no id belongs to two."""

from __future__ import annotations

import sys

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
