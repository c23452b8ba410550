"""One build at a time among all processes that keep their engines in one folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trt_perception.errors import BuildCancelledError, EngineFileError
from trt_perception.sealed_file import open_private_folder

log = logging.getLogger(__name__)

_LOCK = '.building.lock'
_POLL_S = 0.1
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def build_lock(
    folder: Path, on_wait: Callable[[str], None], cancelled: Callable[[], bool]
) -> Iterator[bool]:
    """Holds the folder's lock, which the kernel frees when the process dies.

    Yields whether it is held. It is not where the folder or its file system allows none; the
    build then goes on without.

    Args:
        folder: made where it is missing.
        on_wait: told, once, that another process holds the lock.
        cancelled: asked while waiting.

    Raises:
        BuildCancelledError: `cancelled` said so.
    """
    locked = False
    with contextlib.ExitStack() as stack:
        try:
            opened = open_private_folder(folder, create=True)
            stack.callback(os.close, opened)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            lock = os.open(_LOCK, flags, 0o600, dir_fd=opened)
            stack.callback(os.close, lock)
            locked = _wait_for_lock(lock, on_wait, cancelled)
        except (OSError, EngineFileError) as error:
            log.debug('no lock in %s: %s', folder, error)
        yield locked


def _wait_for_lock(
    lock: int, on_wait: Callable[[str], None], cancelled: Callable[[], bool]
) -> bool:
    """True once the lock is held; False where the file system has no locks."""
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
        if not told:
            on_wait('another process builds an engine here; waiting for it')
            told = True
        if cancelled():
            raise BuildCancelledError('cancelled while another process was building an engine')
        time.sleep(_POLL_S)
