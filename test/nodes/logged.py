"""What a program of its own logs: the loggers of Python and of ROS are a process's."""

from __future__ import annotations

import os
import subprocess
import sys


def logged(program: str, form: str) -> tuple[list[str], list[str]]:
    """The lines that ROS logs, in this form, and those of stderr.

    Args:
        program: in Python; its own output comes with the first.
        form: of a line, as for RCUTILS_CONSOLE_OUTPUT_FORMAT.
    """
    done = subprocess.run(
        [sys.executable, '-c', program],
        cwd='/',  # the source tree has no messages in it
        env={
            **os.environ,
            'RCUTILS_CONSOLE_OUTPUT_FORMAT': form,
            'RCUTILS_LOGGING_USE_STDOUT': '1',
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr.splitlines()
