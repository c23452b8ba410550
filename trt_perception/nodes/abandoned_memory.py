"""Removes the shared memory that Fast DDS processes left behind when they were killed.

A process that ends in an orderly way removes its own. One that is killed leaves 68 MiB, under
`config/fastdds_shm.xml`, until the machine starts again or somebody calls `fastdds shm clean`.
This does what that command does, by the same mark: each segment has a lock file, `..._el`, which
its owner holds locked for as long as it lives.
https://fast-dds.docs.eprosima.com/en/stable/fastddscli/cli/cli.html
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from trt_perception.nodes.transport import SHARED_MEMORY

_LOCK = re.compile(r'(?:fastrtps|fastdds)_[0-9a-f]{16}_el')
"""Lock files of segments, by Fast DDS 2 and 3. Ports are small and not removed."""

YOUNG_S = 5.0
"""Seconds for which a lock file is let be: its owner may not have locked it yet."""


def remove_abandoned_segments(folder: Path = SHARED_MEMORY) -> int:
    """Remove this user's segments whose owner has died; returns how many bytes they held.

    Others that still have one mapped keep it until they let go. What cannot be looked at or
    removed is left alone: a start must not fail for it.
    """
    return sum(_removed(lock) for lock in _old_locks(folder))


def abandoned_bytes(folder: Path = SHARED_MEMORY) -> int:
    """How many bytes of this user's segments have no owner any more. Removes nothing."""
    total = 0
    for lock in _old_locks(folder):
        with _locked(lock) as ours:
            total += _size(_segment_of(lock)) if ours else 0
    return total


def _old_locks(folder: Path) -> list[Path]:
    """This user's lock files of segments that are not young."""
    newest_s = time.time() - YOUNG_S
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _LOCK.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    if facts.st_uid == os.geteuid() and facts.st_mtime < newest_s:
                        found.append(Path(entry.path))
    return found


def _removed(lock: Path) -> int:
    segment = _segment_of(lock)
    # Both go while the lock is held: Fast DDS looks after locking whether its file is still there.
    with _locked(lock) as ours:
        if not ours:
            return 0
        size = _size(segment)
        with contextlib.suppress(OSError):
            segment.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
            return size
    return 0


@contextlib.contextmanager
def _locked(lock: Path) -> Iterator[bool]:
    """Whether nobody else holds the lock; if so, this process does until the block is left."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(file)


def _segment_of(lock: Path) -> Path:
    return lock.with_name(lock.name.removesuffix('_el'))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
