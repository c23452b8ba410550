"""Every family's decoder beside its official implementation, on the same raw outputs.

    python benchmarks/family_parity.py --setup    # once: an environment for this script alone
    python benchmarks/family_parity.py            # compare, write results/family_parity.*

The referees are Ultralytics, YOLOv5 and YOLOX as published on the package index, and torchvision.
The first two are licensed under the AGPL and the GPL: they are installed in an environment of
this script's own, `.cache/family_parity`, and run there; the package neither imports nor needs
them. Where they cannot be had, the script says why and ends without an error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / '.cache' / 'family_parity'
RESULTS = HERE / 'results'
WHEELS = ('ultralytics==8.4.190', 'yolov5==7.0.13')
SOURCE = 'yolox==0.3.0'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--setup', action='store_true', help='make the environment and end')
    parser.add_argument('--environment', type=Path, default=ENVIRONMENT)
    parser.add_argument('--cases', type=int, default=240, help='raw outputs of each family')
    parser.add_argument('--only', default='', help='families whose name begins so')
    parser.add_argument('--out', type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.setup:
        return set_up(arguments.environment)
    if not (arguments.environment / 'bin' / 'python').exists():
        print(f'skipped: no {arguments.environment}; run this script with --setup first')
        return 0
    report = compare(arguments.environment, arguments.cases, arguments.only)
    text = markdown(report)
    print(text)
    if not arguments.only:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / 'family_parity.md').write_text(text)
        (arguments.out / 'family_parity.json').write_text(json.dumps(report, indent=1) + '\n')
    failed = [row['family'] for row in report['rows'] if not row['passed']]
    print(f'FAILED: {", ".join(failed)}' if failed else 'every family passed')
    return 1 if failed else 0


def set_up(environment: Path) -> int:
    """Make the environment; 1 if the package index lacks something."""
    venv.create(environment, with_pip=True)
    pip = [str(environment / 'bin' / 'python'), '-m', 'pip']
    # The source of YOLOX is not installed, since that would compile what decoding does not need.
    fetch = ['download', '--quiet', '--no-deps', '--no-build-isolation', '-d', str(environment)]
    for command in (
        ['install', '--quiet', '-r', str(HERE / 'family_parity.txt')],
        ['install', '--quiet', '--no-deps', *WHEELS],
        [*fetch, SOURCE],
    ):
        if subprocess.run([*pip, *command], check=False).returncode:
            print(f'not available here: pip {" ".join(command)} failed, see above')
            return 1
    (archive,) = environment.glob('yolox-*.tar.gz')
    with tarfile.open(archive) as file:
        file.extractall(environment, filter='data')
    return 0


def compare(environment: Path, cases: int, only: str) -> dict[str, Any]:
    """What the comparison in the environment finds."""
    variables = {
        **os.environ,
        **dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'), '1'),
        'PYTHONPATH': os.pathsep.join([str(HERE), str(HERE.parent)]),
        'YOLO_CONFIG_DIR': str(environment),
        'YOLO_OFFLINE': 'true',
    }
    code = f'import family_parity_referees as r; r.main({str(environment)!r}, {cases}, {only!r})'
    result = subprocess.run(
        [str(environment / 'bin' / 'python'), '-c', code],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.exit(f'the comparison failed:\n{result.stderr[-3000:]}')
    report: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return report


def markdown(report: dict[str, Any]) -> str:
    lines = [
        '# Families beside their official implementations',
        '',
        'Written by `python benchmarks/family_parity.py`. The same raw outputs, random and '
        'structured, go through the decoder of this package and through the referee. Equal means: '
        'as many objects, each with one of the same class at an IoU above 0.99 and a score within '
        '1e-4. *At the limit* counts outputs that are equal once the threshold of suppression is '
        'moved by 0.0005: the referees suppress in float32, with coordinates shifted by thousands '
        'of pixels for each class, which moves their IoU by that much.',
        '',
        report['versions'],
        '',
        '| family, task | referee | outputs | objects | equal | at the limit | unequal '
        '| lowest IoU | score off by | more |',
        '|---|---|---:|---:|---:|---:|---:|---:|---:|---|',
    ]
    for row in report['rows']:
        lines.append(
            f'| {row["family"]} | {row["referee"]} | {row["outputs"]} | {row["objects"]} '
            f'| {row["equal"]} | {row["at_the_limit"]} | {row["unequal"]} '
            f'| {row["lowest_iou"]:.5f} | {row["score_difference"]:.1e} | {row["more"]} |'
        )
    return '\n'.join([*lines, ''])


if __name__ == '__main__':
    sys.exit(main())
