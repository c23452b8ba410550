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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from endurance_events import Events, Outcome
from endurance_graph import Graph, environment_of
from endurance_probe import Probe
from endurance_report import Phase, course_rows, event_rows, markdown, memory_rows, missed

from trt_perception.cli.isolation import isolated
from trt_perception.cli.numbers import rate, size
from trt_perception.nodes.abandoned_memory import abandoned_bytes
from trt_perception.nodes.transport import choose_transport

SHARES = {'calm': 0.40, 'disturbed': 0.30, 'killed': 0.15, 'simulated clock': 0.15}
READY_S = 60.0


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
        'course': [row for phase in phases for row in course_rows(graph, probe.waiting, phase)],
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


if __name__ == '__main__':
    raise SystemExit(main())
