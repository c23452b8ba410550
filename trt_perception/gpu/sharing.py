"""One owner for all networks of a process that run on one GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable

from trt_perception.gpu.owner import GpuOwner

_lock = threading.Lock()
_shared: GpuOwner | None = None


def acquire_owner(create: Callable[[], GpuOwner] = GpuOwner) -> GpuOwner:
    """The process's owner of the first GPU. Give it back with `release_owner`.

    One whose context was lost is replaced by a new one; those who still hold it are told with
    their next work.

    Args:
        create: makes one where there is none.

    Raises:
        BackendUnavailableError: see `GpuOwner`.
    """
    global _shared
    with _lock:
        if _shared is not None and _shared.lost:
            _shared.close()  # its thread has reset the GPU when this returns
            _shared = None
        if _shared is None:
            _shared = create()
            _shared.users = 0
        _shared.users += 1
        return _shared


def release_owner(owner: GpuOwner) -> None:
    """Give an owner back; with its last user its thread ends and the GPU is free."""
    global _shared
    with _lock:
        owner.users -= 1
        if owner.users > 0 and not owner.lost:
            return
        if owner is _shared:
            _shared = None
    owner.close()
