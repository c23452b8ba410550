"""Ids for the objects that the pipeline finds in the images of each camera."""

from __future__ import annotations

import itertools
from dataclasses import replace

from trt_perception.pipeline.appearance import Appearance
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import Detections
from trt_perception.tracking.assignment import require_solver
from trt_perception.tracking.settings import TrackerSettings
from trt_perception.tracking.tracker import Tracker


class TrackedCameras:
    """One tracker for each camera; no two objects of any of them ever share an id.

    `follow` is used by one thread at a time. `settings` may be replaced by another one.

    Attributes:
        appearance: gives objects embeddings before they are followed; None: their model may.
    """

    def __init__(
        self, settings: TrackerSettings | None = None, appearance: Appearance | None = None
    ) -> None:
        """Start without objects.

        Args:
            settings: how to follow; None gives no ids.
            appearance: see the attribute.

        Raises:
            MissingDependencyError: SciPy is not installed and something is to be followed.
        """
        self._ids = itertools.count(1)
        self._trackers: dict[str, Tracker] = {}
        self._without_embeddings = False
        self.appearance = appearance
        self.settings = settings or TrackerSettings()

    @property
    def settings(self) -> TrackerSettings:
        """How objects are followed, from the next frame on."""
        return self._settings

    @settings.setter
    def settings(self, settings: TrackerSettings) -> None:
        if settings.kind != 'none':
            require_solver()
        self._settings = settings

    @property
    def note(self) -> str:
        """What is to be said of the tracking, in words; '' for nothing."""
        if self._settings.kind == 'deepsort' and self._without_embeddings:
            return (
                'tracker deepsort: this model gives no embeddings, so that objects are followed '
                'as with bytetrack. An embedding model beside it gives them'
            )
        return ''

    def reset(self) -> None:
        """Forget all objects of all cameras; their ids are not given again."""
        self._trackers.clear()
        self._without_embeddings = False

    def follow(self, perceived: Perceived, stamp_ns: int, camera: str = '') -> Perceived:
        """The same with embeddings and ids, where objects were found and these are asked for.

        Args:
            perceived: of one frame. Every frame of a camera must come by, in their order.
            stamp_ns: of the frame; 0 where it has none.
            camera: its name.
        """
        if self.appearance is not None:
            perceived = self.appearance.describe(perceived)
        settings, found = self._settings, perceived.result
        if settings.kind == 'none' or not isinstance(found, Detections):
            return perceived
        watch = Stopwatch()
        tracker = self._trackers.get(camera)
        if tracker is None:
            tracker = self._trackers[camera] = Tracker(settings, self._ids)
        tracker.settings = settings
        image = None if settings.camera_motion == 'none' else perceived.image
        named = tracker.update(found, stamp_ns, image)
        if len(found):
            self._without_embeddings = found.embeddings is None
        watch.lap('track')
        return replace(
            perceived,
            result=named,
            source=perceived.source if image is None else image,
            stages_ms={**perceived.stages_ms, **watch.laps_ms},
        )
