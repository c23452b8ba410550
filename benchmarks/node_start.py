"""What the start of each node costs, beside what no node in Python can do without.

    python benchmarks/node_start.py --starts 10
    python benchmarks/node_start.py --beside before=FOLDER    # another installation, in turns

From the start of the process: processor and wall-clock seconds until the node is active and until
its first result, with images of another process coming in. The floor is a process that imports
rclpy, numpy and OpenCV and joins the graph, and for the nodes with a network imports onnxruntime,
opens a session for the same file and runs it once. All of them take turns, and medians are given.
A FOLDER is one that holds another state of the package `trt_perception`, messages included.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
sys.path.insert(0, str(HERE))

from measured_node import CaseFailed, as_json, environment_on, exit_status  # noqa: E402

from trt_perception.model_store import find_model  # noqa: E402

CHILD = str(HERE / 'node_start_child.py')
_PATIENCE_S = 60.0


class Case(NamedTuple):
    """A node that is started: where its class is, its parameters, and the network it loads."""

    module: str
    node: str
    parameters: tuple[str, ...] = ()
    model: str = ''


CASES = {
    'camera_node': Case('camera_node', 'CameraNode', ('source:=synthetic',)),
    'detect_node': Case('detect_node', 'DetectNode', ('model:=street_detect',), 'street_detect'),
    'segment_node': Case(
        'segment_node', 'SegmentNode', ('model:=street_semantic',), 'street_semantic'
    ),
    'overlay_node': Case('overlay_node', 'OverlayNode'),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--starts', type=int, default=10, help='of each')
    parser.add_argument('--nodes', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--beside', default='', metavar='NAME=FOLDER')
    parser.add_argument('--domain', type=int, default=72)
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    arguments = parser.parse_args()
    name, _, folder = arguments.beside.partition('=')
    states = {name: Path(folder).resolve()} if name else {}
    measured: dict[tuple[str, str], list[dict]] = {}
    with tempfile.TemporaryDirectory() as notes, images(arguments.domain):
        for _ in range(arguments.starts):
            for node in arguments.nodes:
                starts = {'floor': floor_of(CASES[node]), 'now': start_of(CASES[node])}
                for state, command in (*starts.items(), *((s, starts['now']) for s in states)):
                    environment = environment_of(arguments.domain, Path(notes), states.get(state))
                    found = started(command, environment)
                    measured.setdefault((node, state), []).append(found)
    rows = [row(node, state, found) for (node, state), found in measured.items()]
    print(table(rows))
    if arguments.out:
        command = shlex.join(['python', 'benchmarks/node_start.py', *sys.argv[1:]])
        report = {'command': command, 'load': os.getloadavg(), 'rows': rows}
        arguments.out.write_text(as_json(report))
    return 0


def start_of(case: Case) -> list[str]:
    parameters = [word for parameter in case.parameters for word in ('-p', parameter)]
    return ['node', case.module, case.node, '--ros-args', *parameters]


def floor_of(case: Case) -> list[str]:
    return ['floor', str(find_model(case.model).with_suffix('.onnx'))] if case.model else ['floor']


def environment_of(domain: int, notes: Path, package: Path | None) -> dict[str, str]:
    environment = environment_on(domain)
    # A fresh folder for the notes of starts: none shall wait for having died early.
    environment['XDG_RUNTIME_DIR'] = tempfile.mkdtemp(dir=notes)
    if package is not None:
        environment['PYTHONPATH'] = f'{package}:{environment.get("PYTHONPATH", "")}'
    return environment


@contextmanager
def images(domain: int) -> Iterator[None]:
    """Images come and somebody looks at pictures meanwhile."""
    process = subprocess.Popen([sys.executable, CHILD, 'images'], env=environment_on(domain))
    try:
        time.sleep(2.0)
        yield
    finally:
        process.kill()
        process.wait()


def started(command: list[str], environment: dict[str, str]) -> dict:
    """Start a process; returns what it tells.

    Raises:
        CaseFailed: it tells nothing.
    """
    role, *rest = command
    words = [sys.executable, CHILD, role, repr(time.monotonic()), *rest]
    try:
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        said = getattr(error, 'stderr', None) or done.stderr
        raise CaseFailed(f'{shlex.join(command)} tells nothing: {said[-400:]!r}') from error


def row(node: str, state: str, found: list[dict]) -> dict:
    """Medians of one node in one state of the package, seconds."""
    moments = {
        f'{moment} {kind}': statistics.median(one[moment][kind] for one in found)
        for moment in found[0]
        for kind in found[0][moment]
    }
    return {'node': node, 'state': state, 'starts': len(found), **moments}


def table(rows: list[dict]) -> str:
    """As Markdown; the ratio is that of the processor time until active over the floor's."""
    floors = {r['node']: r['active processor_s'] for r in rows if r['state'] == 'floor'}
    lines = [
        '| node | | processor s to active | over the floor | wall s | processor s to a result '
        '| wall s |',
        '|---|---|---|---|---|---|---|',
    ]
    for one in rows:
        kinds = ('active processor_s', 'active wall_s', 'result processor_s', 'result wall_s')
        cells = [f'{one[kind]:.2f}' if kind in one else '' for kind in kinds]
        cells.insert(1, f'{one["active processor_s"] / floors[one["node"]]:.2f}')
        lines.append(f'| {one["node"]} | {one["state"]} | {" | ".join(cells)} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(exit_status(main))
