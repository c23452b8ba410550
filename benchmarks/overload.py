"""Age of results when the network is three times slower than the camera, beside a queue of 10.

    python benchmarks/overload.py --seconds 60 --out benchmarks/results/overload.json

Both nodes run the same network on the same images, one after the other. The age goes from the
image's stamp to the arrival of its result in another process. The script ends with 1 if the
newest-frame policy does not keep the age under twice the time of the network.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
sys.path.insert(0, str(HERE))

from bare_network import bare_network_ms  # noqa: E402
from measured_node import CaseFailed, MeasuredNode, as_json, environment_on, exit_status  # noqa: E402
from publish_to_result import machine  # noqa: E402

from networks import write_light_detector  # noqa: E402

SETTLED = 30
"""Images at the start that do not count: a queue has to fill first."""

NODES = {
    'newest frame': (
        'detect_node --ros-args -p model:={model} -p backend:=onnxruntime-cpu '
        '-p threads:={threads}',
        '/detect_node/detections',
    ),
    'queue of 10': (
        '{python} {benchmarks}/queue_node.py {model} 10 {threads}',
        '/queue_node/detections',
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=60, help='for each node')
    parser.add_argument('--rate', type=float, default=30)
    parser.add_argument('--slower', type=float, default=3, help='network time in camera periods')
    parser.add_argument('--size', default='640x480')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--domain', type=int, default=70)
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        least_ms = arguments.slower * 1e3 / arguments.rate
        model = write_light_detector(Path(folder), least_ms=least_ms)
        bare_ms = bare_network_ms(model, arguments.threads)
        print(f'network {bare_ms:.0f} ms, an image every {1e3 / arguments.rate:.0f} ms')
        rows = [
            measure(name, command, topic, model, arguments, arguments.domain + number)
            for number, (name, (command, topic)) in enumerate(NODES.items())
        ]
    print(table(rows), histogram(rows), sep='\n')
    ours = rows[0]
    good = ours['p99_ms'] < 2 * ours['network_ms']
    text = f'p99 of the age {ours["p99_ms"]:.0f} ms, network {ours["network_ms"]:.0f} ms'
    print(f'{"met   " if good else "MISSED"} {text} (target below twice that)')
    if arguments.out:
        report = {
            'command': shlex.join(['python', 'benchmarks/overload.py', *sys.argv[1:]]),
            **machine(),
            'bare_network_ms': bare_ms,
            'rows': rows,
        }
        arguments.out.write_text(as_json(report))
    return int(not good)


def measure(name: str, command: str, topic: str, model: Path, arguments, domain: int) -> dict:
    """One node's row. Raises CaseFailed where it gives no figures."""
    frames = SETTLED + int(arguments.seconds * arguments.rate)
    filled = command.format(
        python=sys.executable, model=model, benchmarks=HERE, threads=arguments.threads
    )
    with MeasuredNode(filled, environment_on(domain)) as node:
        receiver = node.probe(
            'receive', '--topic', topic, '--frames', str(frames), '--quiet', '15',
            '--type', 'vision_msgs/msg/Detection2DArray', '--stats', '/detect_node/stats',
        )  # fmt: skip
        publisher = node.probe(
            'publish', '--topic', '/image', '--size', arguments.size,
            '--rate', str(arguments.rate), '--frames', str(frames),
        )  # fmt: skip
        stamps = node.told(publisher)['stamps'][SETTLED:]
        heard = node.told(receiver)
    arrivals = heard['arrivals']
    ages = [(arrivals[str(s)] - s) / 1e6 for s in stamps if str(s) in arrivals]
    if not ages:
        raise CaseFailed(f'{name}: none of {len(stamps)} images had a result')
    p50, p90, p99 = np.percentile(ages, (50, 90, 99))
    return {
        'node': name,
        'sent': len(stamps),
        'results': len(ages),
        'p50_ms': float(p50),
        'p90_ms': float(p90),
        'p99_ms': float(p99),
        'max_ms': max(ages),
        'network_ms': heard['stages'].get('infer', float('nan')),
        'ages_ms': [round(age, 1) for age in ages],
    }


def table(rows: list[dict]) -> str:
    lines = ['', '| node | results | p50 ms | p90 ms | p99 ms | max ms |', '|' + '---|' * 6]
    lines += [
        f'| {r["node"]} | {r["results"]} of {r["sent"]} | {r["p50_ms"]:.0f} | {r["p90_ms"]:.0f} '
        f'| {r["p99_ms"]:.0f} | {r["max_ms"]:.0f} |'
        for r in rows
    ]
    return '\n'.join(lines)


def histogram(rows: list[dict], bars: int = 40) -> str:
    """Share of the results by their age, a line for each tenth of a second."""
    lines = []
    for row in rows:
        counts, edges = np.histogram(row['ages_ms'], np.arange(0, row['max_ms'] + 100, 100))
        lines.append(f'\n{row["node"]}: results by age')
        lines += [
            f'{edge:6.0f} ms {"#" * round(bars * count / len(row["ages_ms"]))} {count}'
            for count, edge in zip(counts, edges, strict=False)
            if count
        ]
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    raise SystemExit(exit_status(main))
