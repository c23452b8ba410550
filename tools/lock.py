#!/usr/bin/env python3
"""Writes requirements/*.txt, the pinned requirements, from requirements/*.in.

Needs uv (pip install uv). Every file holds for Python 3.10, 3.11 and 3.12. What is pinned already
stays as it is where it still fits; `--upgrade` or `--upgrade-package NAME` look for newer ones.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / 'requirements'
LOCKS = {
    'jazzy': ('python', 'build', 'ros-jazzy'),
    'kilted': ('python', 'build', 'ros-kilted'),
    'sourced': ('python', 'build'),
}
# uv repeats on every line what holds for all of them.
REPEATED = ("python_full_version < '3.13'", "sys_platform == 'linux'")


def simplified(line: str) -> str:
    """Gives a requirement without the conditions that always hold here."""
    requirement, _, marker = line.partition(' ; ')
    conditions = [part for part in marker.split(' and ') if part and part not in REPEATED]
    return ' ; '.join([requirement, ' and '.join(conditions)] if conditions else [requirement])


def compiled(pinned: Path, sources: Sequence[str], options: Sequence[str]) -> str:
    """Gives what uv pins for some *.in; it prefers the versions that `pinned` has."""
    command = ['uv', 'pip', 'compile', '--universal', '--python-version', '3.10', '--quiet']
    command += ['--no-header', '--no-annotate', '--no-emit-index-url', '--no-emit-find-links']
    command += [f'requirements/{source}.in' for source in sources]
    with tempfile.TemporaryDirectory() as folder:
        # A copy: uv would write the conditions that `simplified` leaves out.
        output = Path(folder) / pinned.name
        if pinned.exists():
            output.write_text(pinned.read_text())
        subprocess.run(
            [*command, '--output-file', str(output), *options], cwd=REQUIREMENTS.parent, check=True
        )
        return output.read_text()


def write(name: str, sources: Sequence[str], options: Sequence[str]) -> None:
    path = REQUIREMENTS / f'{name}.txt'
    origin = ', '.join(f'{source}.in' for source in sources)
    lines = [f'# Written by tools/lock.py from {origin}.']
    lines += [simplified(line) for line in compiled(path, sources, options).splitlines()]
    path.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    for lock_name, lock_sources in LOCKS.items():
        write(lock_name, lock_sources, sys.argv[1:])
