"""Time from publishing an image to receiving its result, for any node, side by side.

    python benchmarks/publish_to_result.py                        # this package's cases
    python benchmarks/publish_to_result.py --cases my_cases.yaml  # other nodes, same measure
    python benchmarks/publish_to_result.py --cases benchmarks/publish_to_result_gpu.yaml

A case is a command, the topic and type of its result (with a header that keeps the image's
stamp), and environment variables; with `stats`, a topic of PipelineStats, the node's own stages are
shown besides. `{python}`, `{model}`, `{onnx}`, `{threads}` and `{benchmarks}` are filled in. The
model is the light detector, or the `network` of this package that a case names; `backend` says by
what it is run alone for comparison. The command's node must subscribe to `/image`. A node that
loads its network at the first image has `loads_late`: it is shown images until it answers, which
do not count.

A node of another workspace has `source`, the name of an environment variable that holds the path
of a setup script: the node and those who measure it run in the environment that this leaves.

Every case runs in fresh processes on a ROS domain of its own, at each size and rate, and so does
the bare network, alone, with the same threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil
import yaml

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
sys.path.insert(0, str(HERE))

from bare_network import bare_network_ms  # noqa: E402
from measured_node import CaseFailed, MeasuredNode, as_json, environment_on, sourced  # noqa: E402

from networks import write_light_detector  # noqa: E402
from trt_perception.monitoring.gpu_state import find_gpu_source  # noqa: E402

WARM_UP = 10
"""Frames at the start that do not count: discovery and first allocations."""


@dataclass
class Case:
    """One node to measure."""

    name: str
    command: str
    result_topic: str
    result_type: str = 'vision_msgs/msg/Detection2DArray'
    transport: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    stats: str = ''
    source: str = ''
    loads_late: bool = False
    network: str = ''
    backend: str = 'onnxruntime-cpu'


@dataclass
class Measurement:
    """What one case did at one size and rate. Times in milliseconds."""

    case: str
    size: str
    rate_hz: float
    sent: int
    lost: int
    p50_ms: float
    p99_ms: float
    cpu_ms_per_frame: float
    over_bare_p50_ms: float
    stages_ms: dict[str, float]

    @property
    def own_cpu_ms(self) -> float:
        """Processor time a frame without the network's, where the node tells it (one thread)."""
        return self.cpu_ms_per_frame - self.stages_ms.get('infer', float('nan'))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--cases', type=Path, default=HERE / 'publish_to_result.yaml')
    parser.add_argument('--sizes', nargs='+', default=['640x480', '1920x1080'])
    parser.add_argument('--rates', nargs='+', type=float, default=[10.0, 30.0])
    parser.add_argument('--frames', type=int, default=150)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--detections', type=int, default=80)
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    arguments = parser.parse_args()
    cases = [Case(**entry) for entry in yaml.safe_load(arguments.cases.read_text())]
    with tempfile.TemporaryDirectory() as folder:
        # Of one image: Ultralytics takes a network with an open batch for one of any size.
        model = write_light_detector(Path(folder), detections=arguments.detections, batch=1)
        bare_ms = bare_network_ms(model, arguments.threads)
        print(f'bare network, {arguments.threads} thread(s): {bare_ms:.2f} ms')
        alone_ms = {('', 'onnxruntime-cpu'): bare_ms}
        for network, backend in sorted({(case.network, case.backend) for case in cases}):
            if (network, backend) not in alone_ms:
                found_ms = bare_network_ms(network or model, arguments.threads, backend)
                alone_ms[network, backend] = found_ms
                print(f'{network or "the same"} by {backend}: {found_ms:.2f} ms')
        rows, failed = [], []
        for domain, (size, rate, case) in enumerate(
            ((s, r, c) for s in arguments.sizes for r in arguments.rates for c in cases), 40
        ):
            try:
                alone = alone_ms[case.network, case.backend]
                rows.append(measure(case, size, rate, arguments, model, alone, domain))
            except CaseFailed as error:
                failed.append(f'{case.name} {size} {rate:g} Hz: {error}')
                print(f'  NOT MEASURED: {failed[-1]}')
    print(table(rows), stages_table(rows), sep='\n')
    if arguments.out:
        content = {**report(rows, bare_ms, arguments), 'not_measured': failed}
        arguments.out.write_text(as_json(content))
    if failed:
        sys.exit(1)


def measure(
    case: Case,
    size: str,
    rate: float,
    arguments: argparse.Namespace,
    model: Path,
    bare_ms: float,
    domain: int,
) -> Measurement:
    """One row. Raises CaseFailed where there are no figures."""
    environment = {**environment_on(domain, transport=case.transport), **case.environment}
    if case.source:
        environment = sourced(case.source, environment)
    frames = arguments.frames + WARM_UP
    command = case.command.format(
        python=sys.executable,
        model=case.network or model,
        onnx=model.with_suffix('.onnx'),
        benchmarks=HERE,
        threads=arguments.threads,
    )
    answered = ('--answered-on', case.result_topic, '--type', case.result_type)
    answered = answered if case.loads_late else ()
    with MeasuredNode(command, environment) as node:
        receiver = node.probe(
            'receive', '--topic', case.result_topic, '--type', case.result_type,
            '--frames', str(frames), '--stats', case.stats,
        )  # fmt: skip
        publisher = node.probe(
            'publish', '--topic', '/image', '--size', size, '--rate', str(rate),
            '--frames', str(frames), *answered,
        )  # fmt: skip
        looks = []
        while publisher.poll() is None:
            node.check_alive()
            looks.append((time.time_ns(), cpu_seconds(node.process.pid)))
            time.sleep(0.1)
        stamps = node.told(publisher)['stamps']
        heard = node.told(receiver, timeout_s=120)
        arrivals = heard['arrivals']
    counted = stamps[WARM_UP:]
    ages = [(arrivals[str(s)] - s) / 1e6 for s in counted if str(s) in arrivals]
    p50, p99 = np.percentile(ages, (50, 99)) if ages else (float('nan'), float('nan'))
    row = Measurement(
        case.name, size, rate, len(counted), len(counted) - len(ages), float(p50), float(p99),
        cpu_per_frame_ms(looks, stamps), float(p50) - bare_ms, heard['stages'],
    )  # fmt: skip
    print(f'  {row.case} {row.size} {row.rate_hz:g} Hz: {row.p50_ms:.1f} ms, {row.lost} lost')
    return row


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children so far."""
    total = 0.0
    parent = psutil.Process(pid)
    for process in [parent, *parent.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system
    return total


def cpu_per_frame_ms(looks: list[tuple[int, float]], stamps: list[int]) -> float:
    """Processor time between the first and the last image, per image."""
    moments, seconds = zip(*looks, strict=True)
    begin, end = np.interp([stamps[0], stamps[-1]], moments, seconds)
    return float(end - begin) * 1e3 / (len(stamps) - 1)


def table(rows: list[Measurement]) -> str:
    lines = [
        '',
        '| size | rate | node | p50 ms | p99 ms | over bare ms | lost | CPU ms a frame '
        '| without the network |',
        '|' + '---|' * 9,
    ]
    lines += [
        f'| {r.size} | {r.rate_hz:g} Hz | {r.case} | {r.p50_ms:.2f} | {r.p99_ms:.2f} '
        f'| {r.over_bare_p50_ms:.2f} | {r.lost} of {r.sent} | {r.cpu_ms_per_frame:.1f} '
        f'| {r.own_cpu_ms:.1f} |'
        for r in rows
    ]
    return '\n'.join(lines).replace('nan', '-')


def stages_table(rows: list[Measurement]) -> str:
    """Medians of the nodes' own stages, and what is left to the floor of the same run.

    *elsewhere* is the age of the result without the node's total: the camera's side, the way to
    the node and the way of the result. *over the floor* is the age without that of the case that
    comes first, a node that does nothing, and without the network.
    """
    told = [row for row in rows if row.stages_ms]
    if not told:
        return ''
    first = rows[0].case
    names = [name for name in told[0].stages_ms if name not in ('total', 'since_stamp')]
    head = ['size', 'rate', 'node', *names, 'elsewhere', 'age', 'over the floor']
    lines = ['', f'| {" | ".join(head)} |', '|' + '---|' * len(head)]
    for row in told:
        floor_ms = next(
            (
                r.p50_ms
                for r in rows
                if (r.case, r.size, r.rate_hz) == (first, row.size, row.rate_hz)
            ),
            float('nan'),
        )
        stages = row.stages_ms
        values = [
            *(stages.get(name, 0.0) for name in names),
            row.p50_ms - stages.get('total', 0.0),
            row.p50_ms,
            row.p50_ms - floor_ms - stages.get('infer', 0.0),
        ]
        figures = ' | '.join(f'{value:.2f}' for value in values)
        lines.append(f'| {row.size} | {row.rate_hz:g} Hz | {row.case} | {figures} |')
    return '\n'.join(lines)


def machine() -> dict[str, str]:
    """What it ran on, and how busy that was."""
    gpu = find_gpu_source()
    beside = '' if gpu is None else f', {gpu.read().name}'
    return {
        'machine': f'{os.cpu_count()} cores, {platform.machine()}, {platform.system()}{beside}',
        'load': ', '.join(f'{load:.1f}' for load in os.getloadavg()),
        'python': platform.python_version(),
        'ros_distro': os.environ.get('ROS_DISTRO', ''),
    }


def report(rows: list[Measurement], bare_ms: float, arguments: argparse.Namespace) -> dict:
    return {
        'command': shlex.join(['python', 'benchmarks/publish_to_result.py', *sys.argv[1:]]),
        **machine(),
        'bare_network_ms': bare_ms,
        'threads': arguments.threads,
        'rows': [asdict(row) for row in rows],
    }


if __name__ == '__main__':
    main()
