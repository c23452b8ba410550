"""When a node reports: once a second, in a moment in which that delays no frame."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator

from rclpy.clock import Clock
from rclpy.node import Node

REPORT_PERIOD_S = 1.0

_FRAMES_FLOW_S = 0.5
"""Seconds since the last frame was done within which a next one is expected."""


class ReportTimes:
    """Calls for the reports of one node."""

    def __init__(self, node: Node, clock: Clock, report: Callable[[], None]) -> None:
        """Begin.

        Args:
            node: whose executor reports.
            clock: for the period.
            report: publishes what is there to be told.
        """
        self._report = report
        self._frame_done_s = -math.inf
        self._waits = False
        self._now = node.create_guard_condition(report)
        node.create_timer(REPORT_PERIOD_S, self.due, clock=clock)

    def between_frames(self) -> None:
        """See `PerceptionNode.between_frames`."""
        self._frame_done_s = time.monotonic()
        if self._waits:
            self._waits = False
            self._now.trigger()

    def due(self) -> None:
        """Report when the next frame is done; at once where none comes, or waiting was in vain."""
        frames_flow = time.monotonic() - self._frame_done_s < _FRAMES_FLOW_S
        if frames_flow and not self._waits:
            self._waits = True
            return
        self._waits = False
        self._report()

    @contextlib.contextmanager
    def from_a_thread(self) -> Iterator[None]:
        """Within it, report from another thread: the executor's has no time for its timer."""
        done = threading.Event()

        def report() -> None:
            while not done.wait(REPORT_PERIOD_S):
                self._report()

        thread = threading.Thread(target=report, name='reports', daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
