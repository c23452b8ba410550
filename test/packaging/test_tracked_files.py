"""No file of the repository names a folder of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Whole words only, so that neither /tmp in a sentence nor /opt/ros, which is
# the same on every machine, is meant.
MACHINE_PATH = re.compile(
    rb'(?<![\w.$}~-])/(?:root|home/(?!a\b|user\b|you\b)\w+|Users/\w+|tmp/\w)[/\w.-]*'
)


def tracked() -> list[Path]:
    listing = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip('not a git checkout')
    paths = [ROOT / name for name in listing.stdout.split('\0') if name]
    return [path for path in paths if path.is_file()]


def test_no_path_of_a_machine() -> None:
    found = []
    for path in tracked():
        data = path.read_bytes()
        # Compressed data matches by chance; a text has no zero bytes.
        if b'\0' not in data and path != Path(__file__).resolve():
            found += [
                f'{path.relative_to(ROOT)}: {m[0].decode()}' for m in MACHINE_PATH.finditer(data)
            ]
    assert found == []


@pytest.mark.parametrize('text', ['/root/x', 'open("/root/a")', '/home/ann/ws', '/tmp/build'])
def test_the_pattern_finds_paths(text: str) -> None:
    assert MACHINE_PATH.search(text.encode())


@pytest.mark.parametrize('text', ['~/detections', 'net/root/x', '/opt/ros/jazzy', '/image', '/tmp'])
def test_the_pattern_passes_over_others(text: str) -> None:
    assert not MACHINE_PATH.search(text.encode())
