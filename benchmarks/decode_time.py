"""How long each family's decoder takes for one image, with realistic numbers of candidates.

    python benchmarks/decode_time.py                   # write results/decode_time.md and .json
    python benchmarks/decode_time.py --only yolov8     # print the rows that begin so

From raw outputs of one image of 1920x1080 to the result in its pixels, on one thread. `CASES` is
the table, with `MORE_CASES`: to add a family, add a line with its outputs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ.setdefault(_name, '1')

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from decode_time_more_outputs import MORE_CASES  # noqa: E402
from decode_time_outputs import CASES, FULL_HD, Case  # noqa: E402
from processor import processor  # noqa: E402

from trt_perception.decoding.registry import decoder_for  # noqa: E402
from trt_perception.model_input import InputSpec  # noqa: E402
from trt_perception.model_spec import ClassSpec, ModelSpec  # noqa: E402
from trt_perception.preprocessing.letterbox import Letterbox  # noqa: E402
from trt_perception.results import DecodeSettings, Detections  # noqa: E402
from trt_perception.tensor_spec import TensorSpec  # noqa: E402

RESULTS = Path(__file__).resolve().parent / 'results'
LONGEST_S = 6.0
"""Cases that take longer in all their rounds end early."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', default='', help='rows that begin so; writes no file')
    parser.add_argument('--rounds', type=int, default=200)
    parser.add_argument('--out', type=Path, default=RESULTS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    before = os.getloadavg()[0]
    cases = [c for c in (*CASES, *MORE_CASES) if c.name.startswith(arguments.only)]
    rows = [measured(c, arguments.rounds) for c in cases]
    report = {
        'processor': processor(),
        'python': platform.python_version(),
        'numpy': np.__version__,
        'load_before': round(before, 1),
        'load_after': round(os.getloadavg()[0], 1),
        'rows': rows,
    }
    text = markdown(report)
    print(text)
    if not arguments.only:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / 'decode_time.md').write_text(text)
        (arguments.out / 'decode_time.json').write_text(json.dumps(report, indent=1) + '\n')
    return 0


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """The row of one case."""
    spec = ModelSpec(
        name=case.name,
        onnx=Path('model.onnx'),
        family=case.family,
        task=case.task,
        input=InputSpec(size=case.size, resize=case.resize),
        classes=tuple(ClassSpec(name=str(i)) for i in range(case.classes)),
        options=case.options,
    )
    outputs = case.outputs(np.random.default_rng(0))
    tensors = [TensorSpec(n, a.dtype, a.shape) for n, a in outputs.items()]
    decoder = decoder_for(spec, tensors)
    letterboxes = [Letterbox.fit(FULL_HD, case.size, case.resize)]
    settings = DecodeSettings(score=0.25, iou=0.6, max_detections=300)
    times = []
    begin = time.perf_counter()
    for _ in range(rounds + 3):
        start = time.perf_counter()
        (found,) = decoder.decode(outputs, letterboxes, settings)
        times.append((time.perf_counter() - start) * 1e3)
        if time.perf_counter() - begin > LONGEST_S and len(times) >= 13:
            break
    times = times[3:]
    shapes = ', '.join(str(list(a.shape)) for a in outputs.values())
    return {
        'name': case.name,
        'outputs': shapes,
        'candidates': case.candidates,
        'objects': len(found) if isinstance(found, Detections) else None,
        'median_ms': round(statistics.median(times), 3),
        'fastest_ms': round(min(times), 3),
        'p95_ms': round(float(np.percentile(times, 95)), 3),
    }


def markdown(report: dict[str, Any]) -> str:
    lines = [
        '# Decode time by family',
        '',
        'Written by `python benchmarks/decode_time.py`: one image of 1920x1080, one thread, score '
        'threshold 0.25, suppression at IoU 0.6. *Candidates* are what reaches the score threshold '
        'in the raw output, *objects* what is left.',
        '',
        f'{report["processor"]}, Python {report["python"]}, NumPy {report["numpy"]}. Load of the '
        f'machine before {report["load_before"]}, after {report["load_after"]}: with other work '
        'on its cores, the fastest round says more than the median.',
        '',
        '| family, task | outputs | candidates | objects | median, ms | fastest, ms | p95, ms |',
        '|---|---|---:|---:|---:|---:|---:|',
    ]
    for row in report['rows']:
        objects = '' if row['objects'] is None else row['objects']
        lines.append(
            f'| {row["name"]} | {row["outputs"]} | {row["candidates"]} | {objects} '
            f'| {row["median_ms"]:.2f} | {row["fastest_ms"]:.2f} | {row["p95_ms"]:.2f} |'
        )
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    sys.exit(main())
