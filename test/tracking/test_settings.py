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
