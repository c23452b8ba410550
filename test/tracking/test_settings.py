from __future__ import annotations

import pytest

from trt_perception.errors import ParameterError
from trt_perception.tracking.settings import TrackerSettings


def test_nothing_is_tracked_unless_asked_for():
    assert TrackerSettings().kind == 'none'


@pytest.mark.parametrize(
    ('name', 'value', 'says'),
    [
        ('kind', 'byte', 'none, sort, bytetrack, deepsort'),
        ('camera_motion', 'sift', 'none, flow, orb'),
        ('memory', 0.0, 'memory of the tracker: 0.0 is not in 0.1 to 3600'),
        ('memory', float('nan'), 'nan is not in'),
        ('score', 1.5, 'score of the tracker'),
        ('sure_score', -0.1, 'sure score'),
        ('confirmations', 0, 'confirmations'),
        ('overlap', 2.0, 'overlap'),
        ('low_overlap', -1.0, 'low overlap'),
        ('appearance', 3.0, 'appearance'),
    ],
)
def test_what_is_not_allowed_is_refused(name, value, says):
    with pytest.raises(ParameterError, match=says):
        TrackerSettings(**{name: value})


@pytest.mark.parametrize(
    ('chosen', 'least_score', 'says'),
    [
        ({}, 0.9, []),
        ({'kind': 'sort'}, 0.9, []),
        ({'kind': 'bytetrack'}, 0.39, []),
        ({'kind': 'bytetrack'}, 0.4, ['score_threshold 0.4 is not below track_score 0.4']),
        ({'kind': 'deepsort', 'score': 0.2}, 0.25, ['deepsort gets no weak detections']),
        (
            {'memory': 5.0, 'camera_motion': 'orb'},
            0.25,
            ['track_memory, track_camera_motion: without effect, since `tracker` is none'],
        ),
    ],
)
def test_what_does_nothing_is_told(chosen, least_score, says):
    told = TrackerSettings(**chosen).without_effect(least_score)
    assert len(told) == len(says)
    assert all(words in text for words, text in zip(says, told, strict=True))
