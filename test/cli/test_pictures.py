"""The pictures that a run leaves."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from trt_perception.cli.pictures import write_picture
from trt_perception.errors import OutputError

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Within, no file can grow beyond 1000 bytes, as on a full disk; nor can the tests' output."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_picture_is_written_with_its_folder(tmp_path: Path):
    path = tmp_path / 'new' / 'picture.png'
    write_picture(path, NOISE)
    assert (cv2.imread(str(path)) == NOISE).all()
    assert [file.name for file in path.parent.iterdir()] == ['picture.png']


def test_on_a_full_disk_no_part_of_a_picture_stays(tmp_path: Path):
    path = tmp_path / 'picture.png'
    with small_files(), pytest.raises(OutputError, match=r'picture\.png: cannot be written'):
        write_picture(path, NOISE)
    assert list(tmp_path.iterdir()) == []
