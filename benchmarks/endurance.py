"""Runs the demonstration's nodes for long, disturbs them, and watches memory and recovery.

    make shell                              # or source ROS 2 and the package
    python benchmarks/endurance.py --minutes 120 --out benchmarks/results/endurance

Camera, detection, instance and semantic segmentation and overlay run as processes under a
supervisor that starts again what ends, as the launch files do. The time is divided: 40 % without
any disturbance, 30 % with storms of subscribers and of parameters, pauses and steps of the life
cycle, 15 % with kill -9 of each process in turn, and 15 % with a simulated clock that jumps and
stands still. `--phases calm` gives all the time to one of these. Each phase runs through its
events at least once, so that a short run takes a little longer than asked for. Ends with 1 if a
target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from endurance_events import Events, Outcome
from endurance_graph import Graph, Sample, environment_of
from endurance_probe import Probe
from memory_growth import slope_with_error

from trt_perception.cli.isolation import isolated
from trt_perception.cli.numbers import rate, size
from trt_perception.nodes.abandoned_memory import abandoned_bytes
from trt_perception.nodes.transport import choose_transport

TARGET_S = 2.0
"""Within which results flow again."""

FLAT_MB_PER_HOUR = 2.0
"""Of private memory: what a process may gain for sure, by twice the error of its slope."""

LINE_MINUTES = 20
"""Which a line through memory needs: buffers of the middleware fill for minutes."""

SHARES = {'calm': 0.40, 'disturbed': 0.30, 'killed': 0.15, 'simulated clock': 0.15}
READY_S = 60.0


class Phase(NamedTuple):
    """A part of the run, in seconds of the monotonic clock."""

    name: str
    begin_s: float
    end_s: float
    rates_hz: dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=120, help='at least 3; default 120')
    parser.add_argument(
        '--phases', type=phases_of, default=list(SHARES),
        help=f'some of {",".join(SHARES)}, which share the minutes; default: all',
    )  # fmt: skip
    parser.add_argument('--rate', type=rate, default=5.0, help='of the camera; default 5 Hz')
    parser.add_argument('--size', type=size, default='1280x720')
    parser.add_argument('--out', type=Path, help='path of the results, without ending')
    parser.add_argument('--note', default='', help='for the report, such as: busy machine')
    arguments = parser.parse_args()
    if arguments.minutes < 3:
        parser.error('--minutes: at least 3, or not every event has its turn')
    # Before rclpy starts: this process is one of the domain's.
    chosen = isolated(os.environ)
    chosen.update(choose_transport(chosen, 8).variables)
    os.environ.update(chosen)
    with tempfile.TemporaryDirectory() as folder:
        report = measure(arguments, Path(folder))
    print(markdown(report))
    if arguments.out:
        arguments.out.with_suffix('.json').write_text(json.dumps(report, indent=1) + '\n')
        arguments.out.with_suffix('.md').write_text(markdown(report))
    return 1 if report['missed'] else 0


def phases_of(text: str) -> list[str]:
    """Names of phases, in the order in which they run."""
    names = [name.strip() for name in text.split(',')]
    if not names or set(names) - set(SHARES):
        raise argparse.ArgumentTypeError(f'{text!r}: name some of {",".join(SHARES)}')
    return [name for name in SHARES if name in names]


def measure(arguments: argparse.Namespace, logs: Path) -> dict[str, Any]:
    seconds = arguments.minutes * 60
    environment = environment_of({}, logs)
    abandoned_before = abandoned_bytes()
    before = os.getloadavg()[2]
    graph = Graph(logs, arguments, every_s=min(5.0, seconds / 300))
    probe = Probe()
    events = Events(graph, probe, environment)
    outcomes: list[Outcome] = []
    phases: list[Phase] = []
    part = {
        name: SHARES[name] / sum(map(SHARES.get, arguments.phases)) for name in arguments.phases
    }

    def phase(name: str, happenings: Callable[[], Iterator[Callable[[], Outcome]]] | None) -> None:
        if name not in part:
            return
        begin = time.monotonic()
        end = begin + seconds * part[name]
        pause_s = min(20.0, seconds * part[name] / 40)
        had_all = happenings is None
        while happenings is not None and not (had_all and time.monotonic() > end):
            for happening in happenings():
                if had_all and time.monotonic() > end:
                    break
                outcomes.append(happening())
                print(f'{time.strftime("%X")} {outcomes[-1]}', file=sys.stderr, flush=True)
                events.serve(pause_s)
            had_all = True
        events.serve(max(0.0, end - time.monotonic()))
        now = time.monotonic()
        phases.append(Phase(name, begin, now, probe.rates_hz(begin, now)))

    try:
        graph.start(environment, simulated=False)
        started = events.until_all_flow(READY_S)
        phase('calm', None)
        phase('disturbed', lambda: events.disturbances(min(30.0, seconds / 60)))
        phase('killed', events.kills)
        if 'simulated clock' in part:
            probe.simulate()
            graph.start(environment, simulated=True)
            started = events.until_all_flow(READY_S) and started
        phase('simulated clock', events.jumps)
        tracebacks = graph.tracebacks()
    finally:
        graph.stop()
        probe.close()
    report = {
        'command': shlex.join(['python', 'benchmarks/endurance.py', *sys.argv[1:]]),
        'machine': f'{psutil.cpu_count()} cores. {arguments.note}'.strip(),
        'load average': [round(before, 1), round(os.getloadavg()[2], 1)],
        'started': started,
        'phases': [
            {'phase': p.name, 'minutes': round((p.end_s - p.begin_s) / 60, 1), **p.rates_hz}
            for p in phases
        ],
        'events': event_rows(outcomes),
        'memory': memory_rows(graph, probe.heap_mb, phases),
        'crashes': [crash._asdict() for crash in graph.crashes],
        'logs_with_traceback': tracebacks,
        'abandoned_shared_memory_mb': {
            'before': round(abandoned_before / 1e6, 1),
            'at most': round(max(graph.abandoned_mb), 1),
            'at the end': round(abandoned_bytes() / 1e6, 1),
        },
    }
    report['missed'] = missed(report)
    return report


def event_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each kind of event."""
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.kind].append(outcome)
    rows = []
    for kind, same in kinds.items():
        recovered = [outcome.recovery_s for outcome in same if outcome.recovery_s is not None]
        worst = max(same, key=lambda o: float('inf') if o.recovery_s is None else o.recovery_s)
        rows.append(
            {
                'event': kind,
                'times': len(same),
                'never back': len(same) - len(recovered),
                'median s': round(float(np.median(recovered)), 2) if recovered else None,
                'worst s': worst.recovery_s,
                'slowest': worst.slowest,
                'longest gap s': max(outcome.longest_gap_s for outcome in same),
                'notes': [dict(outcome.notes) for outcome in same if outcome.notes],
            }
        )
    return rows


def memory_rows(
    graph: Graph, heaps_mb: Mapping[str, Sequence[tuple[float, float]]], phases: Sequence[Phase]
) -> list[dict[str, Any]]:
    """A row for each phase and process that lived long enough for a line."""
    rows = []
    for phase in phases:
        for (name, start), samples in graph.samples.items():
            within = [s for s in samples if phase.begin_s <= s.time_s <= phase.end_s]
            within = within[len(within) // 4 :]
            if len(within) >= 10:
                first, last = within[0].time_s, within[-1].time_s
                heap = [(s, mb) for s, mb in heaps_mb.get(name, ()) if first <= s <= last]
                slope, _ = slope_with_error(*_hours(heap))
                rows.append(
                    {
                        'phase': phase.name,
                        'process': f'{name} ({start})',
                        **growth(within),
                        'heap MB/h': '' if np.isnan(slope) else round(slope, 1),
                    }
                )
    return rows


def _hours(seconds: Sequence[tuple[float, float]]) -> tuple[Any, Any]:
    """Times in hours, and the values."""
    columns = np.array(seconds).reshape(-1, 2)
    return columns[:, 0] / 3600, columns[:, 1]


def growth(samples: Sequence[Sample]) -> dict[str, Any]:
    """How memory, handles and threads of one process went."""
    hours = np.array([sample.time_s for sample in samples]) / 3600
    rss = np.array([sample.rss_mb for sample in samples])
    private = np.array([sample.private_mb for sample in samples])
    slope, error = slope_with_error(hours, private)
    return {
        'minutes': round((hours[-1] - hours[0]) * 60, 1),
        'rss MB': [round(rss[0], 1), round(rss[-1], 1)],
        'private MB': [round(private[0], 1), round(private[-1], 1)],
        'private MB/h': round(slope, 1),
        'error': round(error, 1),
        'handles': [samples[0].handles, samples[-1].handles],
        'threads': [samples[0].threads, samples[-1].threads],
    }


def missed(report: dict[str, Any]) -> list[str]:
    """The targets that were missed, in words."""
    found = [] if report['started'] else ['not every node gave results after the start']
    for row in report['events']:
        if row['worst s'] is None or row['worst s'] > TARGET_S:
            found.append(f'{row["event"]}: {row["worst s"]} s until results flow again')
    for row in report['memory']:
        sure = row['private MB/h'] - 2 * row['error']
        if row['minutes'] >= LINE_MINUTES and sure > FLAT_MB_PER_HOUR:
            found.append(f'{row["process"]}, {row["phase"]}: gains {row["private MB/h"]} MB/h')
        for what in ('handles', 'threads'):
            if row['phase'] == 'calm' and row[what][1] > row[what][0]:
                found.append(f'{row["process"]}: {what} {row[what][0]} to {row[what][1]}')
    found += [f'{crash["name"]} ended by itself' for crash in report['crashes']]
    found += [f'traceback in {log}' for log in report['logs_with_traceback']]
    return found


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    kills = {
        row['event']: [note['processor s'] for note in row['notes']]
        for row in report['events']
        if row['event'].startswith('kill')
    }
    events = [{k: v for k, v in row.items() if k != 'notes'} for row in report['events']]
    storms = {
        row['event']: row['notes'] for row in report['events'] if row['event'].endswith('storm')
    }
    lines = [
        '# Endurance of the demonstration',
        '',
        f'`{report["command"]}`, {report["machine"]} Load average of 15 minutes before and after: '
        f'{report["load average"]}.',
        '',
        table(report['phases']),
        '',
        'Results a second, by node. After each event, the time until every node gave a result of',
        'an image that was taken after it:',
        '',
        table(events),
        '',
        *[f'- {kind}: `{json.dumps(notes[0])}`' for kind, notes in storms.items()],
        '',
        f'- processor seconds of the new process until then: {kills}',
        '',
        'Memory of each process in the last three quarters of a phase. Private memory is what is',
        'shared with nobody, heap what the code asked for and did not free. A slope of private',
        f'memory is judged where it goes over {LINE_MINUTES} minutes or more:',
        '',
        table(report['memory']),
        '',
        'Shared memory without an owner on the whole machine, MB: '
        f'{report["abandoned_shared_memory_mb"]}.',
        f'Processes that ended by themselves: {report["crashes"] or "none"}.',
        '',
        'Targets missed:' if report['missed'] else 'No target was missed.',
        *[f'- {text}' for text in report['missed']],
    ]
    return '\n'.join(lines) + '\n'


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the same keys as Markdown."""
    if not rows:
        return '(nothing)'

    def cell(value: Any) -> str:
        return ' to '.join(map(str, value)) if isinstance(value, list) else str(value)

    lines = [' | '.join(rows[0]), ' | '.join('---' for _ in rows[0])]
    lines += [' | '.join(cell(value) for value in row.values()) for row in rows]
    return '\n'.join(f'| {line} |' for line in lines)


if __name__ == '__main__':
    raise SystemExit(main())
