"""Which sighting shows which of the objects that are followed.

The order is that of ByteTrack (Zhang et al. 2022): good detections are matched first, with every
object that has an id; then weak ones with the objects that are left; then what is left of the
good ones with the objects that are still on trial. An object keeps its class: no pair of two
classes is ever made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_perception.tracking.assignment import assign, overlaps
from trt_perception.tracking.box_motion import BoxMotion, Floats, to_places
from trt_perception.tracking.settings import TrackerSettings
from trt_perception.tracking.tracks import Sightings, Tracks

UNMATCHED = -1

_PLAUSIBLE = 9.4877
"""95 % of true pairs have a smaller squared Mahalanobis distance: chi-squared of four places."""

_APART = 0.3
"""Boxes of two objects overlap less than this, as a rule."""

_WIDEST = 0.5
"""A box is widened by at most so much of its size on each side."""


def associate(tracks: Tracks, seen: Sightings, settings: TrackerSettings) -> NDArray[np.intp]:
    """The row of its track for each sighting, int [M], `UNMATCHED` where there is none.

    Raises:
        MissingDependencyError: SciPy is not installed.
    """
    pairing = _Pairing(len(tracks), len(seen))
    if not len(tracks) or not len(seen):
        return pairing.matches
    same = tracks.classes[:, None] == seen.classes
    known, good = tracks.confirmed, seen.scores >= settings.score
    near = np.where(same, likely_overlaps(tracks.motion, seen.boxes), 0.0)
    if settings.kind == 'deepsort' and seen.looks is not None:
        alike = np.where(same, likeness(tracks, seen, settings.appearance), 0.0)
        pairing.match(alike, known, good, 0.0)
    pairing.match(near, known, good, settings.overlap)
    if settings.kind != 'sort':
        pairing.match(near, known, ~good, settings.low_overlap)
    pairing.match(near, ~known, good, settings.overlap)
    if settings.kind != 'sort':
        pairing.match(near, ~known, ~good, settings.low_overlap)
    return pairing.matches


class _Pairing:
    """Pairs made so far; whoever has a partner takes no part in later rounds."""

    def __init__(self, tracks: int, sightings: int) -> None:
        self.matches = np.full(sightings, UNMATCHED, np.intp)
        self._free = np.ones(tracks, np.bool_)

    def match(
        self,
        likeness: Floats,
        tracks: NDArray[np.bool_],
        sightings: NDArray[np.bool_],
        least: float,
    ) -> None:
        """Pair some tracks [N] with some sightings [M] whose likeness [N, M] exceeds `least`."""
        rows = np.flatnonzero(tracks & self._free)
        columns = np.flatnonzero(sightings & (self.matches == UNMATCHED))
        if not len(rows) or not len(columns):
            return
        chosen, partners = assign(likeness[rows[:, None], columns], least)
        self.matches[columns[partners]] = rows[chosen]
        self._free[rows[chosen]] = False


def likely_overlaps(motion: BoxMotion, boxes: Floats) -> Floats:
    """IoU of expected boxes with measured ones, all wider the less sure an object's place is.

    Without that, an object that was hidden for a second and comes back beside its expected place
    would have nothing in common with itself. Both boxes of a pair are widened by the same share
    of their size: twice the standard deviation of the object's centre, `_WIDEST` at most. Widened
    boxes are an idea of C-BIoU (Yang et al. 2023), which widens all of them alike.

    Returns:
        float64 [N, M] in 0..1.
    """
    spread = np.sqrt(motion.place_variance[:, :2])
    share = np.minimum(2 * spread / motion.places[:, 2:], _WIDEST)
    margin = share * motion.places[:, 2:]
    expected = motion.boxes + np.concatenate([-margin, margin], axis=1)
    margins = share[:, None] * (boxes[:, 2:] - boxes[:, :2])
    return overlaps(expected[:, None], boxes + np.concatenate([-margins, margins], axis=2))


def alone(motion: BoxMotion, boxes: Floats) -> NDArray[np.bool_]:
    """Which boxes [M, 4] lie where no object of any class is expected, bool [M].

    What does lie there may be the same object under the name of another class.
    """
    if not len(motion) or not len(boxes):
        return np.ones(len(boxes), np.bool_)
    shared = overlaps(motion.boxes[:, None], boxes)
    return np.asarray(shared.max(axis=0) < _APART)


def likeness(tracks: Tracks, seen: Sightings, greatest: float) -> Floats:
    """How alike objects look, where the sighting is also where the object could be.

    DeepSORT's first round (Wojke et al. 2017): the cosine distance of the embeddings decides,
    and the Mahalanobis distance only says what is impossible. What was hidden may have changed
    its speed to any other.

    Args:
        tracks: N objects.
        seen: M sightings with embeddings.
        greatest: the cosine distance from which on they are not alike.

    Returns:
        float64 [N, M]: 0 where not alike or not possible, 1 for the same embedding.
    """
    looks = seen.looks
    if looks is None or tracks.looks.shape[1] != looks.shape[1]:
        return np.zeros((len(tracks), len(seen)))
    distance = 1.0 - (tracks.looks @ looks.T).astype(np.float64)
    alike = np.maximum(1.0 - distance / max(greatest, 1e-9), 0.0)
    places = to_places(seen.boxes)
    off = np.square(places[None] - tracks.motion.places[:, None])
    spread = tracks.motion.place_variance + tracks.motion.turned_variance(tracks.unseen_s)
    spread = spread[:, None] + tracks.motion.measured_variance(places)[None]
    possible = (off / spread).sum(axis=2) <= _PLAUSIBLE
    return np.where(possible, alike, 0.0)
