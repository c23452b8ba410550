"""What a tracker knows, as arrays: for work on one stream that several processes do in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.tracking.camera_motion import CameraMotion
from trt_perception.tracking.tracker import Tracker

_TRACKS = ('ids', 'classes', 'hits', 'unseen_s', 'looks')
_MOTION = ('places', 'speeds', 'place_variance', 'covariance', 'speed_variance')

Arrays = Mapping[str, NDArray[Any]]


def remembered(tracker: Tracker) -> dict[str, NDArray[Any]]:
    """All that the tracker knows but its settings; see `Tracks` and `BoxMotion` for most of it."""
    known: dict[str, NDArray[Any]] = {}
    for name in _TRACKS:
        known[name] = getattr(tracker.tracks, name)
    for name in _MOTION:
        known[name] = getattr(tracker.tracks.motion, name)
    known['clock'] = np.array(tracker.clock.state, np.int64)
    known['size'] = np.array(tracker.size or (), np.int64)
    if tracker.camera is not None and tracker.camera.before is not None:
        known['camera'] = np.array(tracker.camera.method)
        known['grey'], known['background'] = tracker.camera.before
    return known


def recall(tracker: Tracker, known: Arrays) -> None:
    """Make the tracker go on from what `remembered` gave.

    Raises:
        KeyError: something is missing.
    """
    tracker.reset()
    for name in _TRACKS:
        setattr(tracker.tracks, name, known[name].copy())
    for name in _MOTION:
        setattr(tracker.tracks.motion, name, known[name].copy())
    tracker.clock.state = tuple(known['clock'].tolist())
    size = known['size'].tolist()
    tracker.size = (size[0], size[1]) if size else None
    if 'camera' in known:
        tracker.camera = CameraMotion(str(known['camera']))
        tracker.camera.before = (known['grey'], known['background'])
