"""Frees whoever waits for a port of Fast DDS that will never be ready. Needs no ROS.

Who writes to a port that is not there makes it. Another process that comes meanwhile waits until
its size is set and its first word says that it is ready, without any limit, and with Python's lock
held: not a line is logged any more. Where the maker is killed in between, all others that write
there wait until somebody kills them too. `docs/transport_measured.md` tells how that was seen.

It can be told from outside. Those that wait look at the size and the first word again and again,
so that they can be sent on: they take the port for broken then, and make it anew.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

from trt_perception.nodes.port_files import MEMORY, opened, port_file
from trt_perception.nodes.transport import SHARED_MEMORY

_WORD = struct.Struct('=I')
_READY, _BROKEN = 2, 3
"""First words of a segment: `managed_open_or_create_impl` of Boost.Interprocess 1.73, which Fast
DDS brings. https://www.boost.org/doc/libs/1_73_0/doc/html/interprocess.html"""

PATIENCE_S = 2.0
"""Seconds after which a port that was first seen half made is released: as long as Fast DDS waits
for the lock of a maker. One that was only held up so long finds its port without a name."""


class HalfMadePorts:
    """The ports of this user that are not ready.

    Attributes:
        young: how many may still get ready, as of the last look.
    """

    def __init__(self, folder: Path = SHARED_MEMORY) -> None:
        self.young = 0
        self._folder = folder
        self._settled: set[tuple[str, int]] = set()
        self._first_seen_s: dict[tuple[str, int], float] = {}

    def release(self) -> list[str]:
        """Take away those that do not get ready, and send on who waits; returns their names.

        What cannot be looked at or removed is left alone: nothing must fail for it.
        """
        now_s = time.monotonic()
        released = []
        there = self._entries()
        # A name with another file is looked at again.
        settled = self._settled & there
        young = {}
        for name, node in there - settled:
            port = self._folder / name
            since_s = self._first_seen_s.get((name, node), now_s)
            try:
                if not _is_memory(name) or _is_ready(port):
                    settled.add((name, node))
                elif now_s - since_s < PATIENCE_S:
                    young[name, node] = since_s
                elif _released(port):
                    released.append(name)
            except PermissionError:  # another user's
                settled.add((name, node))
            except OSError:  # gone, no file, or another process is about to release it
                pass
        self._settled, self._first_seen_s, self.young = settled, young, len(young)
        return sorted(released)

    def wait_until_ready(self) -> list[str]:
        """As `release`, but waits for ports that may still get ready: for some 2 s at most."""
        released = self.release()
        end_s = time.monotonic() + 2.0 * PATIENCE_S
        while self.young and time.monotonic() < end_s:
            time.sleep(0.05)
            released += self.release()
        return released

    def _entries(self) -> set[tuple[str, int]]:
        """Names and numbers of the files; thousands can lie there, and this is done often."""
        try:
            with os.scandir(self._folder) as entries:
                return {(entry.name, entry.inode()) for entry in entries}
        except OSError:
            return set()


def _is_memory(name: str) -> bool:
    file = port_file(name)
    return file is not None and file.ending == MEMORY


def _is_ready(port: Path) -> bool:
    with opened(port, os.O_RDONLY) as file:
        return _word(file) == _READY


def _word(file: int) -> int | None:
    """First word of a segment; None where there is no room for one yet."""
    data = os.pread(file, _WORD.size, 0)
    return _WORD.unpack(data)[0] if len(data) == _WORD.size else None


def _released(port: Path) -> bool:
    """Whether this process took the port away; another one may be faster."""
    with opened(port, os.O_RDWR) as file:
        # Two that look at the same time: the second one finds another file there, or none.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        word = _word(file)
        if word == _READY or port.lstat().st_ino != os.fstat(file).st_ino:
            return False
        # The name goes first: who is sent on makes a port of that name at once. A maker that goes
        # on in this very moment, after all that time, ends at a port that nobody finds.
        port.unlink()
        if word is None:
            os.ftruncate(file, 1)
        else:
            os.pwrite(file, _WORD.pack(_BROKEN), 0)
        return True
