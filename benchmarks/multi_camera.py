"""Four cameras, one network: fairness, age and memory; then one stalls, sends garbage, doubles.

    python benchmarks/multi_camera.py --minutes 10 --out benchmarks/results/multi_camera.json

Every camera is a process of its own. In the first phase all of them send; in each of the others
`front` misbehaves for a quarter of that time, and what counts is whether the other three notice.
The script ends with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

from measured_node import MeasuredNode, environment_on, exit_status  # noqa: E402
from publish_to_result import bare_inference_ms, machine  # noqa: E402

from networks import write_light_detector  # noqa: E402

CAMERAS = ('front', 'left', 'right', 'rear')
SETTLE_S = 6.0
"""For the processes to start and to find each other."""

WARM_UP_S = 3.0
"""Of each phase, which do not count."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=10, help='of the first phase')
    parser.add_argument('--rate', type=float, default=15)
    parser.add_argument('--size', default='640x480')
    parser.add_argument('--max-age', type=float, default=0.2)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--network-ms', type=float, default=0, help='at least; 0: the light one')
    parser.add_argument('--domain', type=int, default=60)
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    arguments = parser.parse_args()
    phases = phases_of(arguments.minutes * 60, arguments.rate)
    with tempfile.TemporaryDirectory() as folder:
        model = write_light_detector(Path(folder), least_ms=arguments.network_ms)
        bare_ms = bare_inference_ms(model.with_suffix('.onnx'), arguments.threads)
        print(f'bare network: {bare_ms:.2f} ms; phases: {", ".join(phases)}')
        sent, arrivals, memory = measure(arguments, model, phases)
    rows = [
        row
        for number, phase in enumerate(phases)
        for row in figures(number, phase, phases, sent, arrivals, arguments)
    ]
    verdicts = judge(rows, memory, arguments)
    print(table(rows), *verdicts, sep='\n')
    if arguments.out:
        report = {
            'command': shlex.join(['python', 'benchmarks/multi_camera.py', *sys.argv[1:]]),
            **machine(),
            'bare_network_ms': bare_ms,
            'rows': rows,
            'memory': memory,
            'verdicts': verdicts,
        }
        arguments.out.write_text(json.dumps(report, indent=1) + '\n')
    return int(any(line.startswith('MISSED') for line in verdicts))


def phases_of(seconds: float, rate: float) -> dict[str, tuple[float, float, str]]:
    """By name: seconds, the rate of `front` and what it sends."""
    short = max(seconds / 4, 2 * WARM_UP_S)
    return {
        'all well': (max(seconds, 2 * WARM_UP_S), rate, 'good'),
        'front stalls': (short, 0.0, 'good'),
        'front sends garbage': (short, rate, 'garbage'),
        'front doubles': (short, 2 * rate, 'good'),
    }


def measure(arguments, model: Path, phases) -> tuple[dict, dict, dict]:
    """What was sent, what arrived, by camera; and the node's memory.

    Raises CaseFailed where the node or a probe gives up.
    """
    command = (
        f'detect_node --ros-args -p model:={model} -p backend:=onnxruntime-cpu '
        f'-p threads:={arguments.threads} -p max_age:={arguments.max_age} '
        f'-p "cameras:=[{",".join(CAMERAS)}]"'
    )
    environment = environment_on(arguments.domain, processes=len(CAMERAS) + 2)
    begin = time.time() + SETTLE_S
    end = begin + sum(seconds for seconds, *_ in phases.values())
    topics = [f'/detect_node/{name}/detections' for name in CAMERAS]
    probes = 'cameras_probe.py'
    with MeasuredNode(command, environment) as node:
        receiver = node.probe('results', '--topics', *topics, '--end', str(end), script=probes)
        senders = {
            name: node.probe(
                'camera', '--topic', f'/{name}/image', '--size', arguments.size,
                '--begin', str(begin), '--offset', str(number / len(CAMERAS)),
                '--phases', json.dumps(schedule(name, phases, arguments.rate)), script=probes,
            )
            for number, name in enumerate(CAMERAS)
        }  # fmt: skip
        memory = watch_memory(node, begin, begin + phases['all well'][0])
        sent = {name: node.told(sender)['stamps'] for name, sender in senders.items()}
        arrivals = dict(zip(CAMERAS, node.told(receiver)['arrivals'], strict=True))
    return sent, {name: dict(map(tuple, found)) for name, found in arrivals.items()}, memory


def schedule(name: str, phases, rate: float) -> list[tuple[float, float, str]]:
    misbehaves = name == CAMERAS[0]
    return [
        phase if misbehaves else (phase[0], rate, 'good')
        for phase in phases.values()
    ]  # fmt: skip


def watch_memory(node: MeasuredNode, begin: float, end: float) -> dict[str, float]:
    """The node's own memory while all is well, MB; the slope is of its second half.

    Resident memory counts the shared segments of the other processes too, page by page as images
    first come to lie there, and so grows for minutes without anything being kept.
    """
    process, looks = psutil.Process(node.process.pid), []
    while time.time() < end:
        node.check_alive()
        memory = process.memory_full_info()
        looks.append((time.time() - begin, memory.uss / 1e6, memory.rss / 1e6))
        time.sleep(1.0)
    settled = np.array([look for look in looks if look[0] > WARM_UP_S])
    late = settled[len(settled) // 2 :]
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) if len(late) > 1 else 0.0
    return {
        'own_mb_first': float(settled[0, 1]),
        'own_mb_last': float(settled[-1, 1]),
        'rss_mb_first': float(settled[0, 2]),
        'rss_mb_last': float(settled[-1, 2]),
        'mb_per_minute_in_second_half': slope * 60,
        'handles': process.num_fds(),
        'threads': process.num_threads(),
    }


def figures(number: int, phase: str, phases, sent, arrivals, arguments) -> list[dict]:
    """One row for each camera in a phase; times in milliseconds from the stamp to the arrival."""
    seconds = phases[phase][0]
    rows = []
    for name in CAMERAS:
        stamps = [stamp for in_phase, stamp in sent[name] if in_phase == number]
        begin = min(s for n, s in [pair for one in CAMERAS for pair in sent[one]] if n == number)
        counted = [s for s in stamps if s >= begin + WARM_UP_S * 1e9]
        found = [(arrivals[name][s] - s) / 1e6 for s in counted if s in arrivals[name]]
        p50, p99 = np.percentile(found, (50, 99)) if found else (float('nan'),) * 2
        rows.append(
            {
                'phase': phase,
                'camera': name,
                'sent': len(counted),
                'results': len(found),
                'results_hz': len(found) / (seconds - WARM_UP_S),
                'p50_ms': float(p50),
                'p99_ms': float(p99),
                'max_ms': max(found, default=float('nan')),
            }
        )
    return rows


def judge(rows: list[dict], memory: dict[str, float], arguments) -> list[str]:
    well = {row['camera']: row for row in rows if row['phase'] == 'all well'}
    share = np.mean([row['results_hz'] for row in well.values()])
    worst = max(abs(row['results_hz'] / share - 1) for row in well.values())
    oldest = max(row['max_ms'] for row in rows if row['results'])
    grows = memory['mb_per_minute_in_second_half']
    lines = [
        verdict(worst <= 0.1, f'share of each camera: off by at most {worst:.1%} (target 10 %)'),
        verdict(
            oldest <= arguments.max_age * 1e3,
            f'oldest result {oldest:.0f} ms (max_age {arguments.max_age * 1e3:.0f} ms)',
        ),
        verdict(abs(grows) < 1.0, f'memory: {grows:+.2f} MB a minute (target below 1)'),
    ]
    for row in rows:
        if row['phase'] == 'all well' or row['camera'] == CAMERAS[0]:
            continue
        before = well[row['camera']]['p99_ms']
        moved = row['p99_ms'] / before - 1
        text = f'{row["phase"]}: p99 of {row["camera"]} {before:.1f} to {row["p99_ms"]:.1f} ms'
        lines.append(verdict(moved < 0.1, f'{text}, {moved:+.0%} (target below +10 %)'))
    return lines


def verdict(good: bool, text: str) -> str:
    return f'{"met   " if good else "MISSED"} {text}'


def table(rows: list[dict]) -> str:
    lines = ['', '| phase | camera | results | Hz | p50 ms | p99 ms | max ms |', '|' + '---|' * 7]
    lines += [
        f'| {r["phase"]} | {r["camera"]} | {r["results"]} of {r["sent"]} | {r["results_hz"]:.2f} '
        f'| {r["p50_ms"]:.2f} | {r["p99_ms"]:.2f} | {r["max_ms"]:.1f} |'
        for r in rows
    ]
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    raise SystemExit(exit_status(main))
