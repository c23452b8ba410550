"""Ids for the objects that the pipeline finds in the images of each camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.pipeline.appearance import Appearance
from trt_perception.pipeline.perception import Perceived
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import Detections
from trt_perception.tracking.assignment import require_solver
from trt_perception.tracking.remembered import recall, remembered
from trt_perception.tracking.settings import TrackerSettings
from trt_perception.tracking.tracker import Tracker

_IDS = 'ids given'
"""Stands in a saved file beside the arrays of the cameras, whose names have a slash."""


class _Ids:
    """Counts from 1."""

    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.given += 1
        return self.given


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
        self._ids = _Ids()
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

    def save(self, path: Path) -> None:
        """Write all that is known of the objects, for `load`: an .npz file of plain arrays.

        Raises:
            OSError: it cannot be written.
        """
        arrays: dict[str, Any] = {_IDS: np.array(self._ids.given)}
        for camera, tracker in self._trackers.items():
            for name, array in remembered(tracker).items():
                arrays[f'{camera}/{name}'] = array
        with path.open('wb') as file:
            np.savez(file, **arrays)

    def load(self, path: Path) -> None:
        """Go on from what was saved, with the settings of now.

        Raises:
            OSError, EOFError, ValueError, KeyError, BadZipFile: it is not there, or no such file.
        """
        self.reset()
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = dict(file)
        self._ids.given = int(arrays.pop(_IDS))
        cameras: dict[str, dict[str, NDArray[Any]]] = {}
        for full, array in arrays.items():
            camera, _, name = full.rpartition('/')
            cameras.setdefault(camera, {})[name] = array
        for camera, known in cameras.items():
            tracker = self._trackers[camera] = Tracker(self._settings, self._ids)
            recall(tracker, known)

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
