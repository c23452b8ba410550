"""The files in shared memory by which Fast DDS knows a port. Needs no ROS.

A port has memory, and a lock file that whoever listens there holds locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FIRST_PORT = 7400
"""Below lie ports that only tell of the graph; PB in section 9.6.2.3 of
https://www.omg.org/spec/DDSI-RTPS/2.3/PDF."""

MEMORY, LISTENER = '', '_el'
"""What the name of a port's memory ends with, and that of the lock of the one that listens."""

_NAME = re.compile(r'((?:fastrtps|fastdds)_port(\d+))(_el|_sl)?')


class PortFile(NamedTuple):
    """What a file's name tells.

    Attributes:
        port: name of the memory.
        number: of the port.
        ending: `MEMORY`, `LISTENER`, or that of the lock that many listeners share.
    """

    port: str
    number: int
    ending: str


def port_file(name: str) -> PortFile | None:
    """Of which port a file is; None where it is of none."""
    match = _NAME.fullmatch(name)
    return PortFile(match[1], int(match[2]), match[3] or MEMORY) if match else None


def is_held(path: str) -> bool:
    """Whether a process holds the lock on a file; a port's memory is never locked.

    Raises:
        OSError: the file cannot be opened.
    """
    with opened(path, os.O_RDONLY) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def opened(path: str | Path, flags: int) -> Iterator[int]:
    """The number of an open file; links are not followed, and nothing is waited for.

    Raises:
        OSError: it cannot be opened.
    """
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield file
    finally:
        os.close(file)
