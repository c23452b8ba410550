"""What the core logs by Python's `logging`, as lines of the node: with its name, and on /rosout.

Without that Python prints warnings as bare texts, which say neither when nor who, and leaves out
what is less than a warning.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rclpy.impl.logging_severity import LoggingSeverity
from rclpy.impl.rcutils_logger import RcutilsLogger

from trt_perception.nodes.plain_logger import write_line

_CORE = 'trt_perception'


@contextlib.contextmanager
def core_log_of(logger: RcutilsLogger) -> Iterator[None]:
    """Hand what the core logs to a node's logger, from any thread, and to nobody else."""
    core = logging.getLogger(_CORE)
    before = core.level, core.propagate
    handler = _ToNode(logger)
    core.addHandler(handler)
    core.setLevel(logging.DEBUG)  # the node's logger leaves out what is not wanted
    core.propagate = False
    try:
        yield
    finally:
        core.removeHandler(handler)
        core.setLevel(before[0])
        core.propagate = before[1]


class _ToNode(logging.Handler):
    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log it with the place in the core that did."""
        severity = _severity(record.levelno)
        if not self._logger.is_enabled_for(severity):
            return
        try:
            text = self.format(record)  # with the trace where there is one
            place = (record.funcName, record.pathname, record.lineno)
            write_line(severity, self._logger.name, text, place)
        except Exception:  # nothing that works may end for a line of the log
            self.handleError(record)


def _severity(level: int) -> LoggingSeverity:
    """ROS's levels have the numbers of Python's."""
    return LoggingSeverity(min(max(level // 10 * 10, LoggingSeverity.DEBUG), LoggingSeverity.FATAL))
