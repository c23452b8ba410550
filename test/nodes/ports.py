"""What a process of Fast DDS has open in the shared memory, and where it listens for data."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from trt_perception.nodes.transport import SHARED_MEMORY

T = TypeVar('T')
_LOCK = re.compile(r'fast(?:rtps|dds)_port(\d+)_el')


def opened(process: int) -> list[Path]:
    """Files of the shared memory that a process has open."""
    found = []
    with contextlib.suppress(OSError):
        for link in Path(f'/proc/{process}/fd').iterdir():
            with contextlib.suppress(OSError):
                found.append(link.readlink())
    return [file for file in found if file.parent == SHARED_MEMORY]


def ports_of(process: int) -> list[int]:
    """Numbers of the ports whose locks a process has open, without those that tell of the graph."""
    locks = (_LOCK.fullmatch(file.name) for file in opened(process))
    return sorted(port for lock in locks if lock and (port := int(lock[1])) >= 7400)


def wait_until(holds: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """The value of `holds()` once it is true."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, f'did not happen: {what}'
        time.sleep(0.02)
    return value
