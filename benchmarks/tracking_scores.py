"""MOTA, IDF1 and HOTA by TrackEval. Runs in the benchmark's own environment, as a program.

    python tracking_scores.py SEQUENCES.npz IDS.npz SCORES.json [both]

A box counts with the id that a tracker gave it; boxes without one count for nothing. A box is
right where it overlaps a true one of its class, as in KITTI and BDD100K; the scores of `boxes`,
made with `both`, ask for no class. `class swaps` counts ids that were given to boxes of two
classes.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

import numpy as np
from trackeval.metrics import CLEAR, HOTA, Identity

Frames = list[np.ndarray]
TRUE = ('true_boxes', 'true_ids', 'true_classes')


def main() -> int:
    """Score every tracker on every sequence together."""
    sequences_path, ids_path, scores_path = sys.argv[1:4]
    both = sys.argv[4:] == ['both']
    sequences, given = np.load(sequences_path), np.load(ids_path)
    names = sorted({key.rsplit('/', 2)[0] for key in given.files})
    scores = {
        name: {
            'classes': _score(sequences, given, name, with_class=True),
            'boxes': _score(sequences, given, name, with_class=False) if both else {},
        }
        for name in names
    }
    with open(scores_path, 'w', encoding='utf-8') as file:
        json.dump(scores, file)
    return 0


def _score(sequences: Any, given: Any, name: str, *, with_class: bool) -> dict[str, float]:
    data, swaps, frames = {}, 0, 0
    for index in range(len(sequences['rates'])):
        truth = _frames(sequences, index, 'true_counts', TRUE)
        found = _frames(sequences, index, 'counts', ('boxes', 'classes'))
        ends = np.cumsum(sequences[f'{index}/counts'])[:-1]
        ids = np.split(given[f'{name}/{index}/ids'], ends)
        data[str(index)] = _sequence(truth, found, ids, with_class=with_class)
        swaps += _class_swaps(np.concatenate(ids), np.concatenate(found[1]))
        frames += len(ids)
    quiet = {'PRINT_CONFIG': False}
    results: dict[str, Any] = {}
    for metric in (CLEAR(quiet), Identity(quiet), HOTA()):
        with contextlib.redirect_stdout(io.StringIO()):
            each = {key: metric.eval_sequence(value) for key, value in data.items()}
            results.update(metric.combine_sequences(each))
    return {
        'MOTA': round(100 * float(results['MOTA']), 2),
        'IDF1': round(100 * float(results['IDF1']), 2),
        'HOTA': round(100 * float(np.mean(results['HOTA'])), 2),
        'id switches': int(results['IDSW']),
        'false': int(results['CLR_FP']),
        'missed': int(results['CLR_FN']),
        'class swaps': swaps,
        'frames': frames,
    }


def _frames(sequences: Any, index: int, counts: str, parts: tuple[str, ...]) -> list[Frames]:
    ends = np.cumsum(sequences[f'{index}/{counts}'])[:-1]
    return [np.split(sequences[f'{index}/{part}'], ends) for part in parts]


def _sequence(
    truth: list[Frames], found: list[Frames], ids: Frames, *, with_class: bool
) -> dict[str, Any]:
    """One sequence as TrackEval wants it: ids from 0 on and IoU of all pairs, frame by frame."""
    rows = []
    for true_boxes, true_ids, true_classes, boxes, classes, given in zip(
        *truth, *found, ids, strict=True
    ):
        named = given >= 0
        overlaps = _overlaps(true_boxes, boxes[named])
        if with_class:
            overlaps = overlaps * (true_classes[:, None] == classes[named])
        rows.append((true_ids, given[named], overlaps))
    known, named = _numbers([row[0] for row in rows]), _numbers([row[1] for row in rows])
    return {
        'num_timesteps': len(rows),
        'num_gt_ids': len(known),
        'num_tracker_ids': len(named),
        'num_gt_dets': sum(len(row[0]) for row in rows),
        'num_tracker_dets': sum(len(row[1]) for row in rows),
        'gt_ids': [np.array([known[i] for i in row[0].tolist()], int) for row in rows],
        'tracker_ids': [np.array([named[i] for i in row[1].tolist()], int) for row in rows],
        'similarity_scores': [row[2] for row in rows],
    }


def _numbers(ids: Frames) -> dict[int, int]:
    return {name: index for index, name in enumerate(np.unique(np.concatenate(ids)).tolist())}


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2, dtype=np.float64)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))


def _class_swaps(ids: np.ndarray, classes: np.ndarray) -> int:
    pairs = {pair for pair in zip(ids.tolist(), classes.tolist(), strict=True) if pair[0] >= 0}
    return len(pairs) - len({name for name, _ in pairs})


if __name__ == '__main__':
    sys.exit(main())
