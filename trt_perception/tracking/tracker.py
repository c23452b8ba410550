"""Follows the objects of one camera from image to image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trt_perception.results import Detections
from trt_perception.tracking.association import UNMATCHED, alone, associate
from trt_perception.tracking.camera_motion import CameraMotion
from trt_perception.tracking.frame_clock import FrameClock
from trt_perception.tracking.settings import TrackerSettings
from trt_perception.tracking.tracks import NO_ID, Sightings, Tracks


class Tracker:
    """Gives detections ids. Used by one thread at a time.

    It begins anew, with ids that were never given before, when the clock goes back, after a gap
    longer than its memory, and when the size of the images changes.

    Attributes:
        settings: may be replaced between two frames.
        tracks, camera, clock, size: what it knows; see `remembered`.
    """

    def __init__(self, settings: TrackerSettings, ids: Iterator[int] | None = None) -> None:
        """Start without objects.

        Args:
            settings: how to follow.
            ids: where new ids come from, none of them twice; None counts from 1.
        """
        self.settings = settings
        self._ids = itertools.count(1) if ids is None else ids
        self.clock = FrameClock()
        self.reset()

    def reset(self) -> None:
        """Forget all objects; their ids are not given again."""
        self.tracks = Tracks()
        self.camera: CameraMotion | None = None
        self.size: tuple[int, int] | None = None
        self.clock.reset()

    def update(
        self,
        detections: Detections,
        stamp_ns: int = 0,
        image: NDArray[np.uint8] | None = None,
    ) -> Detections:
        """The same detections with `track_ids`.

        Every frame counts, those without objects too.

        Args:
            detections: of this frame.
            stamp_ns: when it was taken; 0 where nobody knows, then a tenth of a second has passed.
            image: uint8 [H, W, 3] BGR, for `settings.camera_motion`; without it the camera is
                taken for still.

        Raises:
            MissingDependencyError: SciPy is not installed.
        """
        settings = self.settings
        if self.size not in (None, detections.size):
            self.reset()
        self.size = detections.size
        seconds = self.clock.tick(stamp_ns, settings.memory)
        if seconds is None:
            self.tracks = Tracks()
            self.camera = None
        else:
            self.tracks.predict(seconds)
        self._follow_camera(image, detections, settings)
        ids = self._follow_objects(Sightings.of(detections), len(detections), settings)
        self.tracks.forget(settings.memory)
        return replace(detections, track_ids=ids)

    def _follow_camera(
        self, image: NDArray[np.uint8] | None, detections: Detections, settings: TrackerSettings
    ) -> None:
        if settings.camera_motion == 'none' or image is None:
            self.camera = None
            return
        if self.camera is None or self.camera.method != settings.camera_motion:
            self.camera = CameraMotion(settings.camera_motion)
        moved = self.camera.estimate(image, detections.boxes)
        if moved is not None:
            self.tracks.motion.shift(moved)

    def _follow_objects(
        self, seen: Sightings, count: int, settings: TrackerSettings
    ) -> NDArray[np.int64]:
        tracks = self.tracks
        matches = associate(tracks, seen, settings)
        found = np.flatnonzero(matches != UNMATCHED)
        tracks.see(matches[found], seen, found)
        new = np.flatnonzero((matches == UNMATCHED) & (seen.scores >= settings.score))
        matches[new] = np.arange(len(tracks), len(tracks) + len(new))
        sure = (seen.scores[new] >= settings.sure_score) & alone(tracks.motion, seen.boxes[new])
        tracks.begin(seen, new, np.where(sure, settings.confirmations, 1))
        self._name(tracks, settings.confirmations)
        ids = np.full(count, NO_ID, np.int64)
        shown = matches != UNMATCHED
        ids[seen.rows[shown]] = tracks.ids[matches[shown]]
        return ids

    def _name(self, tracks: Tracks, confirmations: int) -> None:
        """Give ids to the objects that have been seen often enough."""
        ready = np.flatnonzero((tracks.ids == NO_ID) & (tracks.hits >= confirmations))
        tracks.ids[ready] = list(itertools.islice(self._ids, len(ready)))
