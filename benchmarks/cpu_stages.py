"""The CPU stages beside Ultralytics' own, on the same arrays, with the same threads, in one run.

    python benchmarks/cpu_stages.py --setup    # once: an environment for this script alone
    python benchmarks/cpu_stages.py            # measure, check, write results/cpu_stages.*

Ultralytics is licensed under the AGPL. It is installed in the benchmark's own environment,
`.cache/cpu_stages`, as a partner to measure against; the package neither imports nor needs it.
Where it cannot be had, the script says why and ends without an error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from processor import processor

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / '.cache' / 'cpu_stages'
PYTHON = ENVIRONMENT / 'bin' / 'python'
PARTNER = 'ultralytics==8.4.190'
RESULTS = HERE / 'results'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--setup', action='store_true', help='make the environment and end')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--rounds', type=int, default=60, help='timings of each stage')
    parser.add_argument('--out', type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.setup:
        return set_up()
    reason = missing()
    if reason:
        print(f'skipped: {reason}')
        return 0
    reports = [measure(threads, arguments.rounds) for threads in arguments.threads]
    write(reports, arguments.out)
    failed = [line for report in reports for line in report['failed']]
    print('\n'.join(f'FAILED: {line}' for line in failed) or 'every check passed')
    return 1 if failed else 0


def set_up() -> int:
    """Make the environment; 1 if the package index lacks something."""
    venv.create(ENVIRONMENT, with_pip=True)
    pip = [str(PYTHON), '-m', 'pip', 'install', '--quiet']
    for what in (['-r', str(HERE / 'cpu_stages.txt')], ['--no-deps', PARTNER]):
        result = subprocess.run([*pip, *what], check=False)
        if result.returncode:
            print(f'not available here: pip install {" ".join(what)} failed, see above')
            return 1
    return 0


def missing() -> str:
    """Why Ultralytics cannot be measured; empty if it can."""
    if not PYTHON.exists():
        return f'no {ENVIRONMENT}; run this script with --setup first'
    result = run_in_environment('import ultralytics.utils.nms, ultralytics.data.augment')
    return '' if result.returncode == 0 else f'Ultralytics does not load: {result.stderr[-500:]}'


def run_in_environment(code: str, threads: int = 1) -> subprocess.CompletedProcess[str]:
    """Run Python code in the environment with so many threads for every library."""
    limits = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')
    environment = {
        **os.environ,
        **dict.fromkeys(limits, str(threads)),
        'PYTHONPATH': os.pathsep.join([str(HERE), str(HERE.parent)]),
        'YOLO_CONFIG_DIR': str(ENVIRONMENT),
        'YOLO_OFFLINE': 'true',
    }
    return subprocess.run(
        [str(PYTHON), '-c', code], env=environment, capture_output=True, text=True, check=False
    )


def measure(threads: int, rounds: int) -> dict[str, Any]:
    """What one process with so many threads finds."""
    code = f'import cpu_stages_side_by_side as side; side.main({threads}, {rounds})'
    result = run_in_environment(code, threads)
    if result.returncode:
        sys.exit(f'measuring with {threads} threads failed:\n{result.stderr}')
    report: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return report


def write(reports: list[dict[str, Any]], out: Path) -> None:
    """Print the tables, and leave them as Markdown and JSON."""
    text = '\n'.join(markdown(report) for report in reports)
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'cpu_stages.md').write_text(
        '# CPU stages beside Ultralytics\n\n'
        'Written by `python benchmarks/cpu_stages.py`. Medians of alternating rounds, in brackets '
        'the fastest; the ratio is the smaller one of both.\n\n' + text
    )
    document = {'processor': processor(), 'python': platform.python_version(), 'runs': reports}
    (out / 'cpu_stages.json').write_text(json.dumps(document, indent=1) + '\n')


def markdown(report: dict[str, Any]) -> str:
    lines = [
        f'## {report["threads"]} thread{"s" if report["threads"] > 1 else ""}, {processor()}',
        '',
        f'{report["versions"]}',
        '',
        '| stage | here, ms | Ultralytics, ms | times faster | at least |',
        '|---|---:|---:|---:|---:|',
    ]
    for row in report['rows']:
        target = row['target'] or ''
        (mine, theirs), (fast, their_fast) = row['median_ms'], row['fastest_ms']
        lines.append(
            f'| {row["stage"]} | {mine:.2f} ({fast:.2f}) | {theirs:.2f} ({their_fast:.2f}) '
            f'| {row["ratio"]:.1f} | {target} |'
        )
    return '\n'.join([*lines, '', *(f'- {line}' for line in report['checks']), ''])


if __name__ == '__main__':
    sys.exit(main())
