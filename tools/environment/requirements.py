"""Chooses what pip installs on top of a sourced distribution.

What the system already has is not installed again. Its numpy decides: the
distribution's compiled modules, cv_bridge for one, load only with a numpy of
the major version that they were built for.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

# Taken from the system where it has the module, whatever the version.
MODULES = {
    'catkin-pkg': 'catkin_pkg',
    'colcon-common-extensions': 'colcon_core',
    'empy': 'em',
    'lark-parser': 'lark',
    'numpy': 'numpy',
    'opencv-python-headless': 'cv2',
    'setuptools': 'setuptools',
}
# The newest that works with numpy 1, which the newer ones have left behind.
OPENCV_FOR_NUMPY_1 = 'opencv-python-headless==4.11.0.86'
NUMPY_1 = 'numpy>=1.23.2,<2'

PROBE = """
import importlib.metadata, importlib.util, json, sys
present = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
numpy = importlib.metadata.version('numpy') if 'numpy' in present else ''
print(json.dumps({'present': present, 'numpy': numpy}))
"""


def name_of(requirement: str) -> str:
    """Gives the package that a requirement line is about; empty for a comment."""
    found = re.match(r'[A-Za-z0-9._-]+', requirement)
    return found[0].lower() if found else ''


def reduced(lines: list[str], present: set[str], numpy: str) -> tuple[list[str], list[str]]:
    """Gives requirements and constraints for pip.

    lines: the pinned requirements. present: modules that the system has.
    numpy: the version of the system's numpy, or '' where it has none.
    """
    skipped = {name for name, module in MODULES.items() if module in present}
    if 'colcon-common-extensions' in skipped:
        skipped |= {name_of(line) for line in lines if name_of(line).startswith('colcon-')}
    kept = [line for line in lines if name_of(line) and name_of(line) not in skipped]
    constraints = []
    if numpy.startswith('1.'):
        constraints = [NUMPY_1]
        kept = [
            OPENCV_FOR_NUMPY_1 if name_of(line) == 'opencv-python-headless' else line
            for line in kept
        ]
    return kept, constraints


def write(
    lock: Path, folder: Path, python: Path, environment: Mapping[str, str]
) -> tuple[Path, Path]:
    """Writes the requirements and the constraints for a virtual environment; gives both files."""
    output = subprocess.run(
        [python, '-c', PROBE, *MODULES.values()],
        env=dict(environment),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    found = json.loads(output)
    kept, constraints = reduced(
        lock.read_text().splitlines(), set(found['present']), found['numpy']
    )
    paths = folder / 'requirements.txt', folder / 'constraints.txt'
    for path, lines in zip(paths, (kept, constraints), strict=True):
        path.write_text(''.join(f'{line}\n' for line in lines))
    return paths
