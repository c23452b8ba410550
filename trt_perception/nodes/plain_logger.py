"""rclpy's logger, without its search through all modules for the one that logs.

The first line of a process asks Python's `inspect` which module the caller belongs to, which
looks up the files of all that are imported: as much processor time as a network to load, at the
start or, where a warning is the first line, between two frames.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from rclpy.impl import rcutils_logger
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.impl.logging_severity import LoggingSeverity

_RCLPY = rcutils_logger.RcutilsLogger.log.__code__.co_filename
"""Where `info` and the like are, which are not the caller."""

# Its list of files to pass over in search of the caller, which others may extend.
rcutils_logger._internal_callers.append(os.path.realpath(__file__))


class PlainLogger(rcutils_logger.RcutilsLogger):  # type: ignore[misc]  # rclpy brings no types
    """Logs what has no filters, such as `once`, by itself; what has some by rclpy."""

    def log(self, message: str, severity: LoggingSeverity, **filters: Any) -> bool:
        """Log a message, with the place that called `info` and the like.

        Returns:
            Whether it was logged.
        """
        if filters:
            return bool(super().log(_encodable(message), severity, **filters))
        if not self.is_enabled_for(severity):
            return False
        frame = sys._getframe(1)
        while frame.f_code.co_filename == _RCLPY and frame.f_back is not None:
            frame = frame.f_back
        code = frame.f_code
        write_line(severity, self.name, message, (code.co_name, code.co_filename, frame.f_lineno))
        return True


def write_line(
    severity: LoggingSeverity, name: str, message: str, place: tuple[str, str, int]
) -> None:
    """Log a message of any text; `place` is the function, file and line that did."""
    function, file, line = place
    rclpy_implementation.rclpy_logging_rcutils_log(
        severity, name, _encodable(message), function, file, line
    )


def _encodable(message: str) -> str:
    """Without what UTF-8 has not, as in the name of a file in another encoding: rclpy raises."""
    return str(message).encode(errors='backslashreplace').decode()
