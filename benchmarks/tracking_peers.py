"""Public trackers on given detections. Runs in the benchmark's own environment, as a program.

    python tracking_peers.py SETTINGS.json SEQUENCES.npz IDS.npz

Each tracker gets the boxes, scores, classes and the frame rate, and gives back the id of every
box, -1 for none. Its time is what its own update takes, without the packing around it.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import norfair
import numpy as np
import supervision
import trackers

Ids = np.ndarray
Step = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[Ids, float]]


def supervision_bytetrack(rate: float, **settings: Any) -> Step:
    """ByteTrack of supervision, whose detections carry their row along."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        settings['lost_track_buffer'] = round(settings.pop('memory_s') * 30)
        tracker = supervision.ByteTrack(frame_rate=rate, **settings)
    return _of_supervision(tracker.update_with_detections)


def roboflow_sort(rate: float, **settings: Any) -> Step:
    """SORT of trackers."""
    settings['lost_track_buffer'] = round(settings.pop('memory_s') * 30)
    return _of_supervision(trackers.SORTTracker(frame_rate=rate, **settings).update)


def roboflow_bytetrack(rate: float, **settings: Any) -> Step:
    """ByteTrack of trackers."""
    settings['lost_track_buffer'] = round(settings.pop('memory_s') * 30)
    return _of_supervision(trackers.ByteTrackTracker(frame_rate=rate, **settings).update)


def _of_supervision(update: Callable[[Any], Any]) -> Step:
    def step(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> tuple[Ids, float]:
        rows = np.arange(len(boxes))
        given = supervision.Detections(boxes, None, scores, classes, None, {'row': rows})
        begin = time.perf_counter()
        found = update(given)
        seconds = time.perf_counter() - begin
        ids = np.full(len(boxes), -1)
        if len(found):
            ids[np.asarray(found.data['row'], int)] = found.tracker_id
        return ids, seconds

    return step


def norfair_iou(rate: float, **settings: Any) -> Step:
    """norfair with its IoU distance; labels keep the classes apart."""
    memory = max(round(settings.pop('memory_s') * rate), 2)
    delay = min(settings.pop('initialization_delay'), memory - 1)
    tracker = norfair.Tracker('iou', hit_counter_max=memory, initialization_delay=delay, **settings)

    def step(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> tuple[Ids, float]:
        begin = time.perf_counter()
        given = [
            norfair.Detection(box.reshape(2, 2), np.full(2, score), row, str(name))
            for row, (box, score, name) in enumerate(zip(boxes, scores, classes, strict=True))
        ]
        found = tracker.update(given)
        seconds = time.perf_counter() - begin
        rows = {id(detection): row for row, detection in enumerate(given)}
        ids = np.full(len(boxes), -1)
        for track in found:
            row = rows.get(id(track.last_detection))
            if row is not None:
                ids[row] = track.id
        return ids, seconds

    return step


def by_class(peer: Callable[..., Step], rate: float, settings: dict[str, Any]) -> Step:
    """One tracker for each class, which keeps the classes apart where the tracker does not."""
    steps: dict[int, Step] = {}

    def step(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> tuple[Ids, float]:
        ids, total = np.full(len(boxes), -1), 0.0
        for name in {*steps, *classes.tolist()}:
            if name not in steps:
                steps[name] = peer(rate, **settings)
            mine = classes == name
            found, seconds = steps[name](boxes[mine], scores[mine], classes[mine])
            ids[mine] = np.where(found >= 0, found * MOST_CLASSES + name, -1)
            total += seconds
        return ids, total

    return step


MOST_CLASSES = 1000
BY_CLASS = ', one per class'
DETECTED = ('boxes', 'scores', 'classes')
PEERS = {
    'supervision ByteTrack': supervision_bytetrack,
    'trackers SORT': roboflow_sort,
    'trackers ByteTrack': roboflow_bytetrack,
    'norfair': norfair_iou,
}


def main() -> int:
    """Run the trackers that the settings name over every sequence."""
    settings_path, sequences_path, ids_path = sys.argv[1:]
    with open(settings_path, encoding='utf-8') as file:
        settings = json.load(file)
    sequences = np.load(sequences_path)
    out = {}
    for name, given in settings.items():
        for index, rate in enumerate(sequences['rates']):
            peer = PEERS[name.removesuffix(BY_CLASS)]
            apart = name.endswith(BY_CLASS)
            step = by_class(peer, float(rate), given) if apart else peer(float(rate), **given)
            ends = np.cumsum(sequences[f'{index}/counts'])[:-1]
            parts = [np.split(sequences[f'{index}/{part}'], ends) for part in DETECTED]
            done = [step(*frame) for frame in zip(*parts, strict=True)]
            out[f'{name}/{index}/ids'] = np.concatenate([ids for ids, _ in done]).astype(np.int64)
            out[f'{name}/{index}/seconds'] = np.array([seconds for _, seconds in done])
    np.savez(ids_path, **out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
