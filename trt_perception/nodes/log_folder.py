"""The folder of ROS 2's log files: where nothing can be written there, a process does without.

rclpy refuses to begin there, as with a read-only root or in a service without a home, and a node
would be started again for ever. The log stays on the terminal and on /rosout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

WITHOUT_FILES = ('--ros-args', '--disable-external-lib-logs')


def log_arguments(environment: Mapping[str, str]) -> list[str]:
    """What to add to the arguments of rclpy: nothing where log files can be written.

    Where not, stderr is told why. `environment` holds the variables of the process.
    """
    folder = _folder(environment)
    try:
        _try_to_write(folder)
    except OSError as error:
        print(
            f'{folder}: log files cannot be written there ({error.strerror}), going on without '
            'them. ROS_LOG_DIR names another folder',
            file=sys.stderr,
            flush=True,
        )
        return [*WITHOUT_FILES]
    return []


def _folder(environment: Mapping[str, str]) -> str:
    """Where rcl puts them (rcl_logging_interface's logging_dir.c); `~` stays without a HOME."""
    folder = environment.get('ROS_LOG_DIR') or f'{environment.get("ROS_HOME") or "~/.ros"}/log'
    home = environment.get('HOME')
    return home + folder[1:] if home and folder.startswith('~') else folder


def _try_to_write(folder: str) -> None:
    if folder.startswith('~'):
        raise FileNotFoundError(0, 'HOME is not set')
    Path(folder).mkdir(parents=True, exist_ok=True)
    trial = Path(folder, f'.trt_perception_{os.getpid()}')
    trial.touch(0o600)
    trial.unlink()
