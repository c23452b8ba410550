"""SIGINT and SIGTERM, as something to wait for. Needs no ROS to be imported."""

from __future__ import annotations

import contextlib
import os
import select
import signal


class StopSignals:
    """Catches both from its making on, so that neither interrupts anything.

    Any thread of a library may get a signal, so that holding them back in ours is not enough.
    Python's own first step, which runs in that very thread, writes to a pipe.
    """

    def __init__(self) -> None:
        self._outlet, inlet = os.pipe()
        os.set_blocking(inlet, False)
        signal.set_wakeup_fd(inlet, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)

    def wait(self) -> None:
        """Wait for one, unless one has come already."""
        os.read(self._outlet, 1)

    def came_within(self, seconds: float) -> bool:
        """Whether one has come, or comes soon; it then still counts for `wait`."""
        return bool(select.select([self._outlet], [], [], seconds)[0])

    def forget(self) -> None:
        """Forget those that have come."""
        os.set_blocking(self._outlet, False)
        with contextlib.suppress(BlockingIOError):
            os.read(self._outlet, 4096)
        os.set_blocking(self._outlet, True)
