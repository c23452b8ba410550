"""What the order of service does to the others where one camera doubles its rate: a simulation.

    python benchmarks/fair_order.py --out benchmarks/results/fair_order.json

Four cameras at 15 Hz and one worker, which takes frames by `WaitingFrames` and has a given time for
each. Every round has random phases; the calm before it, the doubled rate and the calm after it have
the same ones. No processor is shared here: what the additional images cost beside the order of
service, `multi_camera.py` measures.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from trt_perception.pipeline.waiting_frames import WaitingFrames  # noqa: E402

SKEW = (1.0141, 1.0047, 0.9962, 0.9853)
"""Of the cameras' rates; see `multi_camera.py`."""

RATE_HZ, STRETCH_S, ROUNDS = 15.0, 15.0, 3
JITTER_S = 0.3e-3
SPREAD = 0.12
"""Standard deviations: of an arrival, and of a service time as a part of it."""


class Served(NamedTuple):
    """What became of one frame: its camera, when it came, when it was begun and through."""

    camera: int
    came_s: float
    began_s: float
    through_s: float


class Simulated(NamedTuple):
    """All frames that were served, in their order, and how many were replaced, by camera."""

    served: list[Served]
    replaced: list[int]


def simulate(
    arrivals: Sequence[tuple[float, int]],
    works_s: Sequence[float],
    *,
    gaps: bool,
    late_s: float = 0.0,
) -> Simulated:
    """One worker and the frames of some cameras.

    Args:
        arrivals: seconds and camera of each frame, in the order of time.
        works_s: for the first frame that is begun, the second, and so on, from the start again.
        gaps: whether frames of fast cameras wait for gaps; without, no service time is told.
        late_s: by which the worker wakes up after the time it asked for.
    """
    cameras = 1 + max((camera for _, camera in arrivals), default=0)
    waiting: WaitingFrames[float] = WaitingFrames(cameras, max_batch=1, deadline_s=0.0)
    coming = iter([*arrivals, (float('inf'), 0)])
    next_s, camera = next(coming)
    now_s, found = 0.0, Simulated([], [0] * cameras)
    while True:
        while next_s <= now_s:
            if waiting.put(camera, next_s, next_s) is not None:
                found.replaced[camera] += 1
            next_s, camera = next(coming)
        due_s = waiting.due_in_s(now_s)
        if due_s is None and next_s == float('inf'):
            return found
        if due_s != 0:
            now_s = next_s if due_s is None else min(next_s, now_s + due_s + late_s)
            continue
        [(chosen, came_s)] = waiting.take()
        work_s = works_s[len(found.served) % len(works_s)]
        found.served.append(Served(chosen, came_s, now_s, now_s + work_s))
        now_s += work_s
        if gaps:
            waiting.worked(work_s)


def arrivals_of(rates_hz, phases, seconds: float, jitter_s: float, draws) -> list:
    """Of cameras that keep their time, apart from some jitter; phases are parts of a period."""
    found = []
    for camera, (rate, phase) in enumerate(zip(rates_hz, phases, strict=True)):
        due = (phase + np.arange(int(rate * seconds))) / rate
        found += [(t, camera) for t in due + np.abs(draws.normal(0, jitter_s, len(due)))]
    return sorted(found)


def run_once(seed: int, work_s: float, *, gaps: bool) -> tuple[list[float], list[float], float]:
    """The moves of the other three's p99, the ages of the doubled camera's frames, its losses."""
    draws = np.random.default_rng(seed)
    ages: dict[tuple[bool, int], list[float]] = {}
    sent = lost = 0
    own = RATE_HZ * np.array(SKEW)
    for _ in range(ROUNDS):
        phases = draws.uniform(0, 1, 4)
        for doubled in (False, True, False):
            rates = own * np.array([2.0 if doubled else 1.0, 1.0, 1.0, 1.0])
            # The doubled camera keeps its own moments and adds others between them.
            starts = phases * np.array([2.0 if doubled else 1.0, 1.0, 1.0, 1.0])
            frames = arrivals_of(rates, starts, STRETCH_S, JITTER_S, draws)
            works = np.maximum(work_s / 2, draws.normal(work_s, SPREAD * work_s, 1000))
            found = simulate(frames, works, gaps=gaps, late_s=50e-6)
            for one in found.served:
                ages.setdefault((doubled, one.camera), []).append(one.through_s - one.came_s)
            if doubled:
                sent += sum(camera == 0 for _, camera in frames)
                lost += found.replaced[0]
    moves = [_p99(ages[True, n]) / _p99(ages[False, n]) - 1 for n in (1, 2, 3)]
    return moves, ages[True, 0], lost / sent


def _p99(values: Sequence[float]) -> float:
    return float(np.percentile(values, 99))


def row(work_ms: float, runs: int, *, gaps: bool) -> dict:
    """So many runs with the same service time."""
    found = [run_once(seed, work_ms * 1e-3, gaps=gaps) for seed in range(runs)]
    moves = np.array([one[0] for one in found])
    doubled_ms = np.concatenate([one[1] for one in found]) * 1e3
    return {
        'work_ms': work_ms,
        'order': 'gaps' if gaps else 'turns',
        'move_mean': float(moves.mean()),
        'move_worst': float(moves.max()),
        'runs_within_target': float((moves < 0.1).all(axis=1).mean()),
        'doubled_p50_ms': float(np.median(doubled_ms)),
        'doubled_p99_ms': _p99(doubled_ms),
        'doubled_lost': float(np.mean([one[2] for one in found])),
    }


def table(rows: Sequence[dict]) -> str:
    head = (
        '| an image takes | order | others: p99 moves by | worst of a run | runs within +10 % '
        '| doubled: p50, p99 ms | lost |'
    )
    lines = ['', head, '|' + '---|' * 7]
    lines += [
        f'| {r["work_ms"]:g} ms | {r["order"]} | {r["move_mean"]:+.1%} | {r["move_worst"]:+.0%} '
        f'| {r["runs_within_target"]:.0%} | {r["doubled_p50_ms"]:.1f}, {r["doubled_p99_ms"]:.1f} '
        f'| {r["doubled_lost"]:.1%} |'
        for r in rows
    ]
    return '\n'.join([*lines, ''])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-ms', type=float, nargs='*', default=[2.5, 3.5, 4.5, 8.0, 12.0])
    parser.add_argument('--runs', type=int, default=25)
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    arguments = parser.parse_args()
    rows = [
        row(work_ms, arguments.runs, gaps=gaps)
        for work_ms in arguments.work_ms
        for gaps in (False, True)
    ]
    print(table(rows))
    if arguments.out:
        command = shlex.join(['python', 'benchmarks/fair_order.py', *sys.argv[1:]])
        arguments.out.write_text(json.dumps({'command': command, 'rows': rows}, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
