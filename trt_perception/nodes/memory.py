"""What the C library does with freed memory: it keeps an image's, and gives a network's back."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

from trt_perception.nodes.collector import collect_all

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_THRESHOLD = 2**30
"""Bytes. Smaller blocks come from the heap, and the heap keeps up to so much that is free."""

_ONE_HEAP = {_M_MMAP_THRESHOLD: _THRESHOLD, _M_TRIM_THRESHOLD: _THRESHOLD, _M_ARENA_MAX: 1}
"""A heap for each thread would keep what each of them ever needed, and no thread gives it to
another: of images that pass through several threads, tens of megabytes in each."""


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Raise glibc's thresholds, since each image would else map and unmap fresh pages.

    To be called before there are threads: those that have a heap of their own keep it.

    Args:
        environment: any variable MALLOC_... in it is the user's own choice, and stands.

    Returns:
        Whether that was done: not where the C library has no such settings.
    """
    if any(name.startswith('MALLOC_') for name in environment):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, value) for option, value in _ONE_HEAP.items())


def give_freed_memory_back() -> bool:
    """Free what only holds itself, and return the pages of all that is free to the system.

    For the end of something large. Python looks for rings of objects seldom, and one may hold the
    buffers of a network. The threads of the next one would take memory of their own beside what
    those of the last one left.

    Returns:
        Whether the C library could be asked to.
    """
    collect_all()
    return return_free_pages()


def return_free_pages() -> bool:
    """Return the pages that lie free between blocks in use to the system.

    Thresholds that keep an image's memory keep also what several threads needed once at the same
    moment, so that a process grows for hours though it uses no more. To be called once in a while.

    Returns:
        Whether the C library could be asked to.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    trim.argtypes = [ctypes.c_size_t]
    trim(0)
    return True
