"""Four cameras, one network: fairness, age and memory; then one stalls, sends garbage, doubles.

    python benchmarks/multi_camera.py --minutes 10 --out benchmarks/results/multi_camera.json

Every camera is a process of its own. First all of them send, for `--minutes`. Then `front` stalls,
sends garbage and doubles its rate in turn, for `--stretch` seconds each and with calm before and
after, `--rounds` times: what counts is whether the other three notice. Beside it stands what the
machine notices by itself: the additional images of the doubled rate, sent where nobody reads them.
The script ends with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
sys.path.insert(0, str(HERE))

from bare_network import bare_network_ms  # noqa: E402
from measured_node import MeasuredNode, as_json, environment_on, exit_status  # noqa: E402
from multi_camera_figures import ALL_WELL, CALM, Move, Stretch, move, row, seen_in  # noqa: E402
from publish_to_result import machine  # noqa: E402

from networks import write_light_detector  # noqa: E402

CAMERAS = ('front', 'left', 'right', 'rear')
UNREAD = 'unread'
"""Sends the images of `FLOOR`."""

SETTLE_S = 6.0
"""For the processes to start and to find each other."""

WARM_UP_S = 3.0
"""At the start of the run, which do not count."""

FLOOR = 'sent, not read'
"""The stretch in which the additional images of a doubled rate go where nobody reads them."""

SKEW = (1.0141, 1.0047, 0.9962, 0.9853)
"""Of the cameras' rates, with no common measure: each place in time meets each other one.

Cameras in step, or drifting by multiples of one beat, meet the same others again and again. Then
chance decides whether three images meet in more or in less than one of a hundred, and with that
whether the p99 is that of two images or of three.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=10, help='in which all is well')
    parser.add_argument('--rounds', type=int, default=6, help='of the three disturbances')
    parser.add_argument('--stretch', type=float, default=20, help='seconds of one disturbance')
    parser.add_argument('--rate', type=float, default=15)
    parser.add_argument('--size', default='640x480')
    parser.add_argument('--max-age', type=float, default=0.2)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--backend', default='onnxruntime-cpu')
    parser.add_argument('--network-ms', type=float, default=0, help='at least; 0: the light one')
    parser.add_argument('--domain', type=int, default=60)
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    arguments = parser.parse_args()
    stretches = stretches_of(arguments)
    minutes = sum(stretch.seconds for stretch in stretches) / 60
    with tempfile.TemporaryDirectory() as folder:
        model = write_light_detector(Path(folder), least_ms=arguments.network_ms)
        bare_ms = bare_network_ms(model, arguments.threads)
        print(f'bare network: {bare_ms:.2f} ms; the run takes {minutes:.1f} minutes', flush=True)
        begin, sent, arrivals, memory = measure(arguments, model, stretches)
    seen = {name: seen_in(stretches, begin, sent[name], arrivals[name]) for name in CAMERAS}
    names = list(dict.fromkeys(stretch.name for stretch in stretches))
    rows = [row(name, camera, stretches, seen[camera]) for name in names for camera in CAMERAS]
    moves = {
        f'{name}: {camera}': move(name, stretches, seen[camera])
        for name in names
        if name not in (ALL_WELL, CALM)
        for camera in CAMERAS[1:]
    }
    verdicts = [*judge(rows, memory, arguments), *map(in_words, moves, moves.values())]
    print(table(rows), *verdicts, sep='\n')
    if arguments.out:
        report = {
            'command': shlex.join(['python', 'benchmarks/multi_camera.py', *sys.argv[1:]]),
            **machine(),
            'bare_network_ms': bare_ms,
            'rows': rows,
            'moves': {name: {**asdict(one), 'share': one.share} for name, one in moves.items()},
            'memory': memory,
            'verdicts': verdicts,
        }
        arguments.out.write_text(as_json(report))
    return int(any(line.startswith('MISSED') for line in verdicts))


def stretches_of(arguments: argparse.Namespace) -> list[Stretch]:
    """A long one in which all is well, then rounds: disturbances with calm before and after."""
    seconds = arguments.stretch
    well = Stretch(ALL_WELL, max(60 * arguments.minutes, 2 * WARM_UP_S), warm_up_s=WARM_UP_S)
    stretches = [well]
    for number in range(1, arguments.rounds + 1):
        calm = Stretch(CALM, seconds, round=number)
        stretches += [
            calm,
            Stretch('front stalls', seconds, factor=0.0, round=number),
            Stretch('front sends garbage', seconds, kind='garbage', round=number),
            calm,
            Stretch(FLOOR, seconds, extra=True, round=number),
            Stretch('front doubles', seconds, factor=2.0, round=number),
            calm,
        ]
    return stretches


def measure(arguments, model: Path, stretches) -> tuple[float, dict, dict, dict]:
    """When it began; what was sent, what arrived, by camera; and the node's memory.

    Raises CaseFailed where the node or a probe gives up.
    """
    command = (
        f'detect_node --ros-args -p model:={model} -p backend:={arguments.backend} '
        f'-p threads:={arguments.threads} -p max_age:={arguments.max_age} '
        f'-p "cameras:=[{",".join(CAMERAS)}]"'
    )
    environment = environment_on(arguments.domain, processes=len(CAMERAS) + 3)
    begin = time.time() + SETTLE_S
    end = begin + sum(stretch.seconds for stretch in stretches)
    topics = [f'/detect_node/{name}/detections' for name in CAMERAS]
    probes = 'cameras_probe.py'
    with MeasuredNode(command, environment) as node:
        receiver = node.probe('results', '--topics', *topics, '--end', str(end), script=probes)
        senders = {
            name: node.probe(
                'camera', '--topic', f'/{name}/image', '--size', arguments.size,
                '--begin', str(begin), '--phases', json.dumps(phases), script=probes,
            )
            for name, phases in schedules(stretches, arguments.rate).items()
        }  # fmt: skip
        memory = watch_memory(node, begin, begin + stretches[0].seconds)
        sent = {name: node.told(sender)['stamps'] for name, sender in senders.items()}
        sent.pop(UNREAD)
        arrivals = dict(zip(CAMERAS, node.told(receiver)['arrivals'], strict=True))
    found = {name: dict(map(tuple, pairs)) for name, pairs in arrivals.items()}
    return begin, sent, found, memory


def schedules(stretches, rate: float) -> dict[str, list[tuple[float, float, str, float]]]:
    """For each camera: seconds, rate in Hz, kind of image, and seconds before the first one.

    The first camera misbehaves. A doubled rate adds images between those that it sends anyway.
    """
    found: dict[str, list] = {name: [] for name in (*CAMERAS, UNREAD)}
    for stretch in stretches:
        phases = np.random.default_rng(stretch.round).uniform(0, 1, len(CAMERAS))
        for number, name in enumerate(CAMERAS):
            own = rate * SKEW[number]
            factor, kind = (1.0, 'good') if number else (stretch.factor, stretch.kind)
            found[name].append((stretch.seconds, own * factor, kind, phases[number] / own))
        between = rate * SKEW[0] * stretch.extra
        offset_s = (phases[0] + 0.5) / (rate * SKEW[0])
        found[UNREAD].append((stretch.seconds, between, 'good', offset_s))
    return found


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


def judge(rows: list[dict], memory: dict[str, float], arguments) -> list[str]:
    well = {row['camera']: row for row in rows if row['phase'] == 'all well'}
    share = np.mean([row['results_hz'] for row in well.values()])
    worst = max(abs(row['results_hz'] / share - 1) for row in well.values())
    oldest = max(row['max_ms'] for row in rows if row['results'])
    grows = memory['mb_per_minute_in_second_half']
    return [
        verdict(worst <= 0.1, f'share of each camera: off by at most {worst:.1%} (target 10 %)'),
        verdict(
            oldest <= arguments.max_age * 1e3,
            f'oldest result {oldest:.0f} ms (max_age {arguments.max_age * 1e3:.0f} ms)',
        ),
        verdict(abs(grows) < 1.0, f'memory: {grows:+.2f} MB a minute (target below 1)'),
    ]


def in_words(name: str, one: Move) -> str:
    status = 'floor' if name.startswith(FLOOR) else one.verdict
    return (
        f'{status:6} {name}: p99 {one.during:.1f} ms, {one.before:.1f} before and '
        f'{one.after:.1f} after: {one.share:+.0%} (target below +10 %; calm up to '
        f'{one.noise:+.0%})'
    )


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
