"""Runs a command for a while and watches the memory, handles and threads of its processes.

    python benchmarks/soak.py --minutes 10 -- trt_perception demo --frames 3000 --rate 5

Prints a table per process: resident memory after the first minute, half way and at the end, its
slope in the second half with its error, open handles and threads at first and at last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from memory_growth import slope_with_error

WARM_UP_S = 60.0


class Sample(NamedTuple):
    """One look at one process."""

    time_s: float
    rss_mb: float
    handles: int
    threads: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--every', type=float, default=5, help='seconds between two looks')
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    parser.add_argument('command', nargs='+')
    arguments = parser.parse_args()
    root = subprocess.Popen(arguments.command)
    samples = watch(root, arguments.minutes * 60, arguments.every)
    end(root)
    rows = [summary(name, found) for name, found in samples.items() if long_enough(found)]
    print(table(rows))
    if arguments.out:
        report = {
            'command': shlex.join(['python', 'benchmarks/soak.py', *sys.argv[1:]]),
            'machine': f'{psutil.cpu_count()} cores, {platform.machine()}',
            'processes': rows,
        }
        arguments.out.write_text(json.dumps(report, indent=1) + '\n')
    return 0


def end(root: subprocess.Popen) -> None:
    """Ask for the end politely, then less so; a shell's background job ignores the first."""
    for wish in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if root.poll() is None:
            root.send_signal(wish)
            with contextlib.suppress(subprocess.TimeoutExpired):
                root.wait(20)


def watch(root: subprocess.Popen, seconds: float, every: float) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = defaultdict(list)
    began = time.monotonic()
    while root.poll() is None and time.monotonic() - began < seconds:
        now = time.monotonic() - began
        try:
            family = [psutil.Process(root.pid), *psutil.Process(root.pid).children(True)]
        except psutil.NoSuchProcess:
            break
        for process in family:
            try:
                with process.oneshot():
                    samples[label(process)].append(
                        Sample(
                            now,
                            process.memory_info().rss / 1e6,
                            process.num_fds(),
                            process.num_threads(),
                        )
                    )
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        time.sleep(every)
    return samples


def label(process: psutil.Process) -> str:
    """The node's name when the command line states one, else the program's."""
    words = process.cmdline()
    named = [word.split(':=')[1] for word in words if word.startswith('__node:=')]
    return f'{(named or [Path(word).name for word in words[1:3]] or [process.name()])[-1]}'


def long_enough(found: list[Sample]) -> bool:
    return len(found) > 3 and found[-1].time_s > WARM_UP_S


def summary(name: str, found: list[Sample]) -> dict[str, object]:
    settled = [sample for sample in found if sample.time_s >= WARM_UP_S]
    first, last = settled[0], settled[-1]
    hours = np.array([sample.time_s for sample in settled]) / 3600
    memory = np.array([sample.rss_mb for sample in settled])
    half = len(settled) // 2
    slope = error = float('nan')
    if half > 3:
        slope, error = slope_with_error(hours[half:], memory[half:])
    return {
        'process': name,
        'minutes': round(last.time_s / 60, 1),
        'rss_mb_after_warm_up': round(first.rss_mb, 1),
        'rss_mb_half_way': round(settled[half].rss_mb, 1),
        'rss_mb_end': round(last.rss_mb, 1),
        'rss_mb_per_hour_in_second_half': round(slope, 1),
        'error': round(error, 1),
        'handles': [first.handles, last.handles],
        'threads': [first.threads, last.threads],
    }


def table(rows: list[dict[str, object]]) -> str:
    if not rows:
        return 'no process lived for longer than the first minute'
    lines = [' | '.join(rows[0]), ' | '.join('---' for _ in rows[0])]
    lines += [' | '.join(str(value) for value in row.values()) for row in rows]
    return '\n'.join(f'| {line} |' for line in lines)


if __name__ == '__main__':
    raise SystemExit(main())
