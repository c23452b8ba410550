"""The objects that are being followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.results import Detections
from trt_perception.tracking.box_motion import BoxMotion, Floats

NO_ID = -1

_STEADY = 0.9
"""Share of what was known of an object's looks that stays when it is seen again."""

_MOST = 1000
"""So many objects are followed at most: the effort grows with the square."""

_FLEETING_S = 0.2
"""Seconds that an object without an id may be missing."""


@dataclass(frozen=True)
class Sightings:
    """The detections of one frame that can be followed.

    Attributes:
        rows: int [M], their rows in the frame's detections.
        boxes: float64 [M, 4], x1 y1 x2 y2.
        scores: float32 [M].
        classes: int64 [M].
        looks: float32 [M, D] of length 1, or None.
    """

    rows: NDArray[np.intp]
    boxes: Floats
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    looks: NDArray[np.float32] | None

    @classmethod
    def of(cls, detections: Detections) -> Sightings:
        """What is finite and has an area; of very many, those with the highest scores."""
        boxes = detections.boxes.astype(np.float64)
        usable = np.isfinite(boxes).all(axis=1) & np.isfinite(detections.scores)
        usable &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        rows = np.flatnonzero(usable)
        if len(rows) > _MOST:
            best = np.argsort(-detections.scores[rows], kind='stable')[:_MOST]
            rows = np.sort(rows[best])
        looks = None if detections.embeddings is None else detections.embeddings[rows]
        if looks is not None and not np.isfinite(looks).all():
            looks = None
        scores, classes = detections.scores[rows], detections.class_ids[rows]
        return cls(rows, boxes[rows], scores, classes, looks)

    def __len__(self) -> int:
        return len(self.rows)


class Tracks:
    """N objects, each with one row in every array.

    Attributes:
        motion: where they are.
        ids: int64 [N], `NO_ID` until an object is confirmed.
        classes: int64 [N].
        hits: int64 [N], frames that showed it.
        unseen_s: float64 [N], seconds since it was seen.
        looks: float32 [N, D] of length 1, zeros where unknown; D is 0 without embeddings.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.motion = BoxMotion()
        self.ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self.classes: NDArray[np.int64] = np.zeros(0, np.int64)
        self.hits: NDArray[np.int64] = np.zeros(0, np.int64)
        self.unseen_s: Floats = np.zeros(0)
        self.looks: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """Which have an id, bool [N]."""
        return np.not_equal(self.ids, NO_ID)

    def predict(self, seconds: float) -> None:
        """Let time pass."""
        self.motion.predict(seconds)
        self.unseen_s += seconds

    def see(self, rows: NDArray[np.intp], seen: Sightings, which: NDArray[np.intp]) -> None:
        """The objects of `rows` [K] were seen as the sightings `which` [K]."""
        self.motion.correct(rows, seen.boxes[which])
        self.hits[rows] += 1
        self.unseen_s[rows] = 0
        if seen.looks is not None:
            self._recall(seen.looks.shape[1])
            mixed = _STEADY * self.looks[rows] + (1 - _STEADY) * seen.looks[which]
            self.looks[rows] = _unit(mixed)

    def begin(self, seen: Sightings, which: NDArray[np.intp], hits: NDArray[np.int64]) -> None:
        """Follow the sightings `which` [K] from now on; each counts for `hits` [K] frames."""
        count = len(which)
        self.motion.add(seen.boxes[which])
        self.ids = np.concatenate([self.ids, np.full(count, NO_ID)])
        self.classes = np.concatenate([self.classes, seen.classes[which]])
        self.hits = np.concatenate([self.hits, hits])
        self.unseen_s = np.concatenate([self.unseen_s, np.zeros(count)])
        if seen.looks is not None:
            self._recall(seen.looks.shape[1])
            self.looks = np.concatenate([self.looks, _unit(seen.looks[which])])
        else:
            blank = np.zeros((count, self.looks.shape[1]), np.float32)
            self.looks = np.concatenate([self.looks, blank])

    def forget(self, memory_s: float) -> None:
        """Let go of what was not seen for too long."""
        kept = self.unseen_s <= np.where(self.confirmed, memory_s, _FLEETING_S)
        if np.count_nonzero(kept) > _MOST:
            latest = np.argsort(np.where(kept, self.unseen_s, np.inf), kind='stable')[:_MOST]
            kept[:] = False
            kept[latest] = True
        if kept.all():
            return
        self.motion.keep(kept)
        self.ids = self.ids[kept]
        self.classes = self.classes[kept]
        self.hits = self.hits[kept]
        self.unseen_s = self.unseen_s[kept]
        self.looks = self.looks[kept]

    def _recall(self, length: int) -> None:
        """Make room for embeddings of this length; those of another length mean nothing."""
        if self.looks.shape[1] != length:
            self.looks = np.zeros((len(self), length), np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return units
