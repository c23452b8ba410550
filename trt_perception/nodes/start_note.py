"""Lets a node that dies again and again wait before its next start. Needs no ROS.

The launch files start a node again at once, since a robot waits for it. One that dies soon after
each start would fill a core with its imports. Each start therefore leaves a note, which an orderly
end takes away; who finds the note of a life that was short waits, longer each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SHORT_LIFE_S = 10.0
"""A process that lived for longer may start again at once."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


class StartNote:
    """The note of one command line: the same after each start by the same launch file."""

    def __init__(self, command: Sequence[str], folder: Path | None = None) -> None:
        """Name it; nothing is read or written yet.

        Args:
            command: the command line.
            folder: where notes lie; that of the user's session, or for temporary files.
        """
        parts = [*command, os.environ.get('ROS_DOMAIN_ID', ''), str(os.geteuid())]
        digest = hashlib.sha256('\0'.join(parts).encode(errors='surrogateescape')).hexdigest()
        self._file = (folder or _place()) / f'trt_perception_start_{digest[:16]}'
        self._short_lives = 0

    def pause_s(self) -> float:
        """Seconds to wait before this start: 0 unless the last process died early, and again."""
        read = self._read()
        if read is None:
            return 0.0
        process, started_s, lives = read
        lived_s = time.monotonic() - started_s
        # An earlier boot's clock was ahead of ours. A process that lives is another node.
        if not 0.0 <= lived_s < SHORT_LIFE_S or _lives(process):
            return 0.0
        self._short_lives = lives + 1
        return float(min(FIRST_PAUSE_S * 2 ** min(lives, 10), LONGEST_PAUSE_S))

    def leave(self) -> None:
        """Write down that this process starts now, as far as the folder allows."""
        text = f'{os.getpid()} {time.monotonic():.3f} {self._short_lives}\n'
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            file = os.open(self._file, flags, 0o600)
            try:
                os.write(file, text.encode())
            finally:
                os.close(file)

    def take_away(self) -> None:
        """Forget it all: this process ends as it should."""
        with contextlib.suppress(OSError):
            self._file.unlink()

    def _read(self) -> tuple[int, float, int] | None:
        try:
            process, started_s, lives = self._file.read_text().split()
            return int(process), float(started_s), max(0, int(lives))
        except (OSError, ValueError):
            return None


def _place() -> Path:
    session = os.environ.get('XDG_RUNTIME_DIR', '')
    usable = os.access(session, os.W_OK | os.X_OK)  # some containers have the name and no folder
    return Path(session if usable else tempfile.gettempdir())


def _lives(process: int) -> bool:
    """Whether it is another one than this, whose number may have been our predecessor's."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return process > 0
