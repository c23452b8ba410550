"""Tracking beside public trackers, on the same boxes of the synthetic street, in one run.

    python benchmarks/tracking.py --setup              # once: an environment for this script
    python benchmarks/tracking.py                      # writes results/tracking.md and .json
    python benchmarks/tracking.py --split validation   # to tune on; writes nothing

The other trackers and TrackEval run as programs in an environment of their own, `.cache/tracking`;
the package neither imports nor needs them. Every tracker gives ids to the same noisy boxes, and
TrackEval compares them with the truth. `SETTINGS` were all chosen on the validation streets.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
from tracking_sequences import SIZE, Sequence, crowd, made_up_looks, make_sequence, with_drops

from trt_perception.results import Detections
from trt_perception.scenes import Split
from trt_perception.tracking.settings import TrackerSettings
from trt_perception.tracking.tracker import Tracker

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / '.cache' / 'tracking'
RESULTS = HERE / 'results'

OURS = {
    'this package, sort': TrackerSettings('sort'),
    'this package, bytetrack': TrackerSettings('bytetrack'),
    'this package, deepsort*': TrackerSettings('deepsort'),
}
WITH_LOOKS = 'this package, deepsort*'
JUDGED = 'this package, bytetrack'
"""The one that is to be as good as the best of the others."""

AS_THEY_COME: dict[str, dict[str, Any]] = {
    'supervision ByteTrack': {'memory_s': 1.0},
    'trackers SORT': {'memory_s': 1.0},
    'trackers ByteTrack': {'memory_s': 1.0},
    'norfair': {'memory_s': 1.0, 'distance_threshold': 0.7, 'initialization_delay': 3},
}
"""Their defaults; norfair has none for its threshold, and counts its delay in frames."""

_SORT = {
    'memory_s': 4.0,
    'track_activation_threshold': 0.4,
    'minimum_iou_threshold': 0.2,
    'minimum_consecutive_frames': 1,
}
_BYTETRACK = {
    'memory_s': 3.0,
    'track_activation_threshold': 0.3,
    'minimum_iou_threshold': 0.2,
    'minimum_consecutive_frames': 1,
    'high_conf_det_threshold': 0.35,
}
_SUPERVISION = {
    'memory_s': 4.0,
    'track_activation_threshold': 0.3,
    'minimum_matching_threshold': 0.9,
    'minimum_consecutive_frames': 1,
}
SETTINGS: dict[str, dict[str, Any]] = {
    'supervision ByteTrack': _SUPERVISION,
    'trackers SORT': _SORT,
    'trackers ByteTrack': _BYTETRACK,
    'norfair': {
        'memory_s': 3.0,
        'distance_threshold': 0.98,
        'initialization_delay': 1,
        'detection_threshold': 0.3,
    },
    'supervision ByteTrack, one per class': _SUPERVISION,
    'trackers SORT, one per class': _SORT,
    'trackers ByteTrack, one per class': _BYTETRACK,
}
"""The best of some thirty tries each; norfair keeps classes apart by itself."""

MEASURES = ('MOTA', 'IDF1', 'HOTA')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--setup', action='store_true', help='make the environment and end')
    parser.add_argument('--environment', type=Path, default=ENVIRONMENT)
    parser.add_argument('--split', choices=('test', 'validation'), default='test')
    parser.add_argument('--sequences', type=int, default=20)
    parser.add_argument('--frames', type=int, default=300)
    parser.add_argument('--out', type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.setup:
        return set_up(arguments.environment)
    python = arguments.environment / 'bin' / 'python'
    if not python.exists():
        print(f'skipped: no {python}; run this script with --setup first')
        return 0
    split = Split[arguments.split.upper()]
    print(f'making {arguments.sequences} sequences of {arguments.frames} frames', flush=True)
    sequences = [make_sequence(split, n, arguments.frames) for n in range(arguments.sequences)]
    report = measure(sequences, python)
    text = as_text(report)
    print(text)
    if split is Split.TEST:
        (arguments.out / 'tracking.json').write_text(json.dumps(report, indent=1) + '\n')
        (arguments.out / 'tracking.md').write_text(text)
    failed = missed_targets(report)
    print('\n'.join(f'FAILED: {line}' for line in failed) or 'every target is met')
    return 1 if failed else 0


def set_up(folder: Path) -> int:
    """Make the environment; 1 if the package index lacks something."""
    venv.create(folder, with_pip=True)
    command = [folder / 'bin' / 'pip', 'install', '--quiet', '-r', HERE / 'tracking.txt']
    return int(subprocess.run(command, check=False).returncode != 0)


def measure(sequences: list[Sequence], python: Path) -> dict[str, Any]:
    """All tables."""
    dropped = [with_drops(sequence, seed) for seed, sequence in enumerate(sequences)]
    fifty = [crowd(50, 600)]
    return {
        'machine': f'{platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}',
        'load': [round(value, 2) for value in os.getloadavg()],
        'sequences': len(sequences),
        'frames': sum(len(sequence.boxes) for sequence in sequences),
        'true boxes': sum(len(boxes) for s in sequences for boxes in s.true_boxes),
        **tables(sequences, dropped, python),
        'milliseconds for 50': times(fifty, python),
    }


def compare(
    sequences: list[Sequence],
    python: Path,
    settings: dict[str, dict[str, Any]],
    *extra: str,
) -> dict[str, dict[str, Any]]:
    """Scores of this package's trackers and of the others on the same boxes."""
    with tempfile.TemporaryDirectory() as folder:
        ours = {name: [track(s, chosen, name) for s in sequences] for name, chosen in OURS.items()}
        given = {
            f'{name}/{index}/ids': np.concatenate(ids)
            for name, runs in ours.items()
            for index, (ids, _) in enumerate(runs)
        }
        given.update(run_peers(sequences, python, settings, Path(folder)))
        np.savez(Path(folder) / 'ids.npz', **given)
        scores = Path(folder) / 'scores.json'
        run = [python, HERE / 'tracking_scores.py', Path(folder) / 'sequences.npz']
        subprocess.run([*run, Path(folder) / 'ids.npz', scores, *extra], check=True)
        read: dict[str, dict[str, Any]] = json.loads(scores.read_text())
    return {name: read[name] for name in (*OURS, *settings)}


def tables(
    sequences: list[Sequence], dropped: list[Sequence], python: Path
) -> dict[str, dict[str, Any]]:
    """The scores of each table by tracker."""
    plain = compare(sequences, python, AS_THEY_COME)
    tuned = compare(sequences, python, SETTINGS, 'both')
    fewer = compare(dropped, python, SETTINGS)
    return {
        'as they come': {name: row['classes'] for name, row in plain.items()},
        'tuned': {name: row['classes'] for name, row in tuned.items()},
        'boxes alone': {name: row['boxes'] for name, row in tuned.items()},
        'frames dropped': {name: row['classes'] for name, row in fewer.items()},
    }


def times(sequences: list[Sequence], python: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of one update: median and 99th percentile."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = {
            name: np.concatenate([track(s, chosen, name)[1] for s in sequences])
            for name, chosen in OURS.items()
        }
        theirs = run_peers(sequences, python, SETTINGS, Path(folder))
    for name in SETTINGS:
        seconds[name] = theirs[f'{name}/0/seconds']
    return {
        name: {'median': round(float(np.median(s)) * 1e3, 3), 'p99': round(_p99(s) * 1e3, 3)}
        for name, s in seconds.items()
    }


def _p99(values: Any) -> float:
    return float(np.percentile(values, 99))


def track(sequence: Sequence, settings: TrackerSettings, name: str) -> tuple[list[Any], Any]:
    """Ids [T] of this package's tracker, one array a frame, and seconds [T]."""
    tracker = Tracker(settings)
    looks = made_up_looks(sequence) if name == WITH_LOOKS else [None] * len(sequence.boxes)
    ids, seconds = [], []
    for boxes, scores, classes, stamp_ns, look in zip(
        sequence.boxes,
        sequence.scores,
        sequence.classes,
        sequence.stamps_ns,
        looks,
        strict=True,
    ):
        detections = Detections(boxes, scores, classes, SIZE, embeddings=look)
        begin = time.perf_counter()
        named = tracker.update(detections, stamp_ns)
        seconds.append(time.perf_counter() - begin)
        ids.append(named.track_ids)
    return ids, np.array(seconds)


def run_peers(
    sequences: list[Sequence], python: Path, settings: dict[str, dict[str, Any]], folder: Path
) -> dict[str, Any]:
    """What the other trackers give back."""
    packed: dict[str, Any] = {'rates': np.array([sequence.rate_hz for sequence in sequences])}
    for index, sequence in enumerate(sequences):
        packed[f'{index}/counts'] = [len(boxes) for boxes in sequence.boxes]
        packed[f'{index}/true_counts'] = [len(boxes) for boxes in sequence.true_boxes]
        for part in ('true_boxes', 'true_ids', 'true_classes', 'boxes', 'scores', 'classes'):
            packed[f'{index}/{part}'] = np.concatenate(getattr(sequence, part))
    np.savez(folder / 'sequences.npz', **packed)
    (folder / 'settings.json').write_text(json.dumps(settings))
    files = [folder / name for name in ('settings.json', 'sequences.npz', 'theirs.npz')]
    environment = {**os.environ, 'PYTHONPATH': '', 'PYTHONWARNINGS': 'ignore'}
    subprocess.run([python, HERE / 'tracking_peers.py', *files], check=True, env=environment)
    with np.load(files[2]) as theirs:
        return dict(theirs)


def missed_targets(report: dict[str, Any]) -> list[str]:
    """What is not as good as the best of the others, or too slow."""
    failed = []
    for table in JUDGED_TABLES:
        rows = report[table]
        for measure_name in MEASURES:
            best = max(rows[name][measure_name] for name in rows if name not in OURS)
            mine = rows[JUDGED][measure_name]
            if mine < best:
                failed.append(f'{table}: {measure_name} {mine} is below {best}')
    taken = report['milliseconds for 50'][JUDGED]['median']
    if taken > 1.0:
        failed.append(f'{taken} ms a frame for 50 objects')
    return failed


def as_text(report: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        '# Tracking beside public trackers',
        '',
        f'{report["sequences"]} sequences, {report["frames"]} frames, {report["true boxes"]} true '
        'boxes of the synthetic street, made by `benchmarks/tracking.py`; '
        f'{report["machine"]}. docs/tracking.md says how to read this.',
    ]
    for title, text in TABLES.items():
        lines += ['', f'## {text}', '', f'| | {" | ".join(COLUMNS)} |', '|---' * 8 + '|']
        for name, row in report[title].items():
            lines.append(f'| {name} | {" | ".join(str(row[column]) for column in COLUMNS)} |')
    took = report['milliseconds for 50']
    lines += ['', '## Milliseconds a frame for 50 objects, on a busy machine', '']
    lines += ['| | median | p99 | median to ours |', '|---|---|---|---|']
    for name, row in took.items():
        ratio = row['median'] / took[JUDGED]['median']
        lines.append(f'| {name} | {row["median"]} | {row["p99"]} | {ratio:.1f} |')
    lines += ['', '\\* with made-up embeddings, which the others do not get.', '']
    return '\n'.join(lines)


COLUMNS = (*MEASURES, 'id switches', 'false', 'missed', 'class swaps')
TABLES = {
    'as they come': 'The others with their defaults',
    'tuned': 'All tuned on the validation streets',
    'boxes alone': 'The same, boxes of a wrong class count as right',
    'frames dropped': 'All tuned, a fifth of the frames dropped',
}
JUDGED_TABLES = ('as they come', 'tuned', 'frames dropped')
"""Not `boxes alone`: whoever keeps classes apart gives no id to a box of a wrong class."""

if __name__ == '__main__':
    sys.exit(main())
