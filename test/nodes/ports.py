"""Where a process of Fast DDS listens for data."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from trt_perception.nodes.transport import SHARED_MEMORY

T = TypeVar('T')
_LOCK = re.compile(rf'{SHARED_MEMORY}/fast(?:rtps|dds)_port(\d+)_el')


def ports_of(process: int) -> list[int]:
    """Numbers of the ports whose locks a process has open, without those that tell of the graph."""
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f'/proc/{process}/fd').iterdir():
            with contextlib.suppress(OSError):
                if match := _LOCK.fullmatch(str(link.readlink())):
                    found.add(int(match[1]))
    return sorted(port for port in found if port >= 7400)


def wait_until(holds: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """The value of `holds()` once it is true."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, f'did not happen: {what}'
        time.sleep(0.02)
    return value
