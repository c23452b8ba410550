"""Every Python file is clean by ruff, and the core by mypy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str) -> None:
    # Without the environment's module path: the installed package is the same
    # files under other names, and mypy refuses a file that has two.
    environment = {name: text for name, text in os.environ.items() if name != 'PYTHONPATH'}
    result = subprocess.run(
        [sys.executable, '-m', *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_ruff_check() -> None:
    run('ruff', 'check', '--quiet')


def test_ruff_format() -> None:
    run('ruff', 'format', '--check', '--quiet')


@pytest.mark.timeout(300)
def test_mypy() -> None:
    run('mypy')
