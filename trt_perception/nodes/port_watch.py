"""Notices that others cannot reach the port at which this process listens. Needs no ROS.

Where a process gets no processor time for some seconds, Fast DDS of the others takes its port for
dead and makes it anew. Once it goes on it makes the port too. If that takes long, the name can end
at the others' memory, or at none, while this process waits at its own: no message on this machine
reaches it any more, and neither side of Fast DDS ever finds out. It can be seen from here, since
the name no longer leads to memory that this process has mapped.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from trt_perception.nodes.port_files import FIRST_PORT, LISTENER, port_file
from trt_perception.nodes.transport import SHARED_MEMORY

_LOOK_S = 1.0
_PATIENT_LOOKS = 5
"""A port that is made anew in order is there again after two or three."""


class PortWatch:
    """The ports at which this process listens now: those whose locks it has open."""

    def __init__(self, folder: Path = SHARED_MEMORY) -> None:
        """Find them; none where the middleware is not Fast DDS with shared memory."""
        self._reached: dict[Path, int] = {}
        self._names = set()
        with contextlib.suppress(OSError):
            for link in Path('/proc/self/fd').iterdir():
                with contextlib.suppress(OSError):
                    lock = link.readlink()
                    file = port_file(lock.name)
                    if lock.parent != folder or not file or file.ending != LISTENER:
                        continue
                    if file.number >= FIRST_PORT:
                        self._names.add(folder / file.port)

    def lost(self) -> list[str]:
        """Names of ports that do not lead here at the moment."""
        return sorted(name.name for name in self._names if not self._leads_here(name))

    def call_when_lost(self, tell: Callable[[str], object]) -> None:
        """Look every second, and call once with the name of a port that stays lost for 5 s.

        Does not return before, unless there is nothing to watch. `tell` may take its time.
        """
        lost: list[str] = []
        lost_looks = 0
        while self._names and lost_looks < _PATIENT_LOOKS:
            time.sleep(_LOOK_S)
            lost = self.lost()
            lost_looks = lost_looks + 1 if lost else 0
        for name in lost[:1]:
            tell(name)

    def _leads_here(self, name: Path) -> bool:
        try:
            node = name.stat().st_ino
        except OSError:
            return False
        # The list of what is mapped has some thousand lines: read only after a change.
        if self._reached.get(name) != node and node in _mapped(name):
            self._reached[name] = node
        return self._reached.get(name) == node


def _mapped(name: Path) -> set[int]:
    """Numbers of the files that this process has mapped under a name, which they may have lost."""
    path = os.fspath(name)
    with Path('/proc/self/maps').open() as lines:
        return {int(line.split()[4]) for line in lines if path in line}
