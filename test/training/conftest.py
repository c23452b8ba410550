"""Makes the package `training` importable, and renders a few of its images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# At the end of the path: before it, the checkout would hide the installed package with its
# generated messages.
sys.path.append(str(ROOT))


@pytest.fixture(scope='session')
def from_root():
    """Runs `python -m MODULE ARGUMENTS` in the checkout, as the documents say."""

    def run(module, *arguments):
        return subprocess.run(
            [sys.executable, '-m', module, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=100,
            check=False,
        )

    return run


@pytest.fixture(scope='session')
def data(tmp_path_factory, from_root):
    """A folder with six images of three scenes."""
    folder = tmp_path_factory.mktemp('data')
    done = from_root('training.dataset', '--out', folder, '--scenes', 3, '--moments', 2)
    assert done.returncode == 0, done.stderr
    assert '6 of 6 images' in done.stdout
    return folder
