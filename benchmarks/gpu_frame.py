"""From a 1920x1080 frame in host memory to its result in host memory, on one GPU.

    python benchmarks/gpu_frame.py              # all steps, five to eight minutes
    python benchmarks/gpu_frame.py --only cameras torch
    python benchmarks/gpu_frame.py --resume     # the steps that the file does not have whole
    python benchmarks/gpu_frame.py --report     # measures nothing: tables of docs from the file

Networks: the shipped ones, and some as large as YOLOv8n and YOLOv8m with random weights, in
float32 and float16, all by onnxruntime's CUDA provider, with I/O binding and its CUDA graph.
What the same weights take in torch, in onnxruntime used plainly, and in Ultralytics' predict()
is measured where these are installed. Every step runs in a process of its own with a time limit;
what was measured is kept when a later step fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent))

from gpu_frame_report import as_markdown, rewrite_docs, without_paths  # noqa: E402
from gpu_frame_steps import STEPS  # noqa: E402
from processor import processor_name  # noqa: E402

LIBRARIES = ('pycuda', 'numpy', 'opencv-python', 'torch', 'ultralytics', 'cuda-bindings')


def machine() -> dict[str, Any]:
    """What it is measured on."""
    import importlib.metadata

    import cv2
    import onnxruntime

    from trt_perception.building.device_facts import device_facts

    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ''
    # Those of the modules: other ones may be installed beside them.
    versions |= {'onnxruntime': onnxruntime.__version__, 'opencv-python': cv2.__version__}
    facts = asdict(device_facts())
    kept = ('system', 'architecture', 'memory_bytes', 'gpus', 'driver', 'cuda_driver')
    return {
        'python': platform.python_version(),
        'processor': processor_name(),
        'cores': os.cpu_count(),
        'load': os.getloadavg(),
        'versions': versions,
        'facts': {key: facts[key] for key in (*kept, 'cuda_runtime')},
    }


def run_step(name: str, folder: Path) -> None:
    """In the step's own process: print each result as a line of JSON."""
    function, networks, _ = STEPS[name]
    for result in function(networks, folder):
        print(json.dumps(result, default=str), flush=True)


def measured(name: str, folder: Path, limit: float) -> dict[str, Any]:
    """Run a step in a process of its own."""
    command = [sys.executable, __file__, '--step', name, '--folder', str(folder)]
    began, at = time.monotonic(), datetime.now(timezone.utc)
    with open(folder / 'errors.txt', 'w+') as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            output, _ = process.communicate(timeout=limit)
            ended = f'exit status {process.returncode}' if process.returncode else ''
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            ended = f'stopped after {limit:.0f} s'
        errors.seek(0)
        said = last_words(errors.read()) if ended else []
    results = [json.loads(line) for line in output.splitlines() if line.startswith('{')]
    seconds = round(time.monotonic() - began, 1)
    print(f'{name}: {len(results)} results in {seconds} s {ended} {said or ""}', flush=True)
    began_at = at.isoformat(timespec='seconds')
    return {
        **{'began': began_at, 'seconds': seconds, 'ended': ended, 'said': said},
        'results': results,
    }


def last_words(errors: str) -> list[str]:
    """The last line of a process's errors that is no warning of onnxruntime."""
    lines = re.sub('\x1b\\[[0-9;]*m', '', errors).strip().splitlines()
    return [line for line in lines if '[W:onnxruntime' not in line][-1:]


def write(document: dict[str, Any], out: Path) -> None:
    """The figures, and the same as tables."""
    document = without_paths(document)
    out.write_text(json.dumps(document, indent=1, default=str) + '\n')
    out.with_suffix('.md').write_text(as_markdown(document))


def begun(arguments: argparse.Namespace) -> dict[str, Any]:
    """A new document, or the one to go on with."""
    if arguments.resume and arguments.out.exists():
        document: dict[str, Any] = json.loads(arguments.out.read_text())
        return document
    return {
        'format': 'trt_perception.gpu_frame',
        'version': 2,
        'command': 'python benchmarks/gpu_frame.py',
        'machine': machine(),
        'steps': {},
    }


def run(arguments: argparse.Namespace) -> None:
    """Run the steps, and write what each has measured at once."""
    document = begun(arguments)
    steps = document['steps']
    end = time.monotonic() + arguments.limit
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only or STEPS:
            if arguments.resume and name in steps and not steps[name]['ended']:
                continue
            left = end - time.monotonic()
            if left <= 0:
                steps[name] = {'results': [], 'ended': 'no time left', 'said': []}
                continue
            steps[name] = measured(name, Path(folder), min(STEPS[name][2], left))
            write(document, arguments.out)


def main() -> int:
    """Measure, or report what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=HERE / 'results' / 'gpu_frame.json')
    parser.add_argument('--only', nargs='*', metavar='STEP', choices=STEPS, help='default all')
    parser.add_argument('--resume', action='store_true', help='go on with the file that is there')
    parser.add_argument('--report', action='store_true', help='write tables from the file')
    parser.add_argument(
        '--limit', type=float, default=500, help='seconds in all; no step begins later'
    )
    parser.add_argument('--step', choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.folder)
    elif arguments.report:
        document = json.loads(arguments.out.read_text())
        write(document, arguments.out)
        rewrite_docs(document, HERE.parent)
    else:
        run(arguments)
    return 0


if __name__ == '__main__':
    sys.exit(main())
