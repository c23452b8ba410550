"""Ends a process in which nothing at all goes on any more. Needs no ROS.

The middleware can wait for ever with Python's lock held (`half_made_ports`): no thread of Python
runs then, not even one that looks after the others. A timer of `faulthandler` comes through: it
prints where each thread was, and ends the process with status 1. There is one such timer in a
process, so nobody but this module may set it or take it back.

No time is set while a node is configured, cleaned up or inactive: onnxruntime and TensorRT keep
Python's lock for as long as it takes to open a network.
"""

from __future__ import annotations

import contextlib
import faulthandler
import threading
from collections.abc import Callable, Iterator

_JOIN_S = 60.0
"""Seconds until a process that does not come to join the domain is given up."""

_ACTIVE_S = 30.0
"""Seconds in which an active node does nothing at all until it is taken for stuck. Nothing that it
does while active holds Python's lock for longer than some milliseconds."""

_LOOK_S = 5.0
"""Seconds after which an active node shows again that it is not stuck."""

_timer = threading.Lock()
"""Held from the look at a node to the setting of its time, so that neither comes after a `let_be`
without the other."""


@contextlib.contextmanager
def while_joining() -> Iterator[None]:
    """End the process if the block takes 60 s."""
    with _timer:
        faulthandler.dump_traceback_later(_JOIN_S, exit=True)
    try:
        yield
    finally:
        let_be()


def while_active(is_active: Callable[[], bool], stopping: threading.Event) -> None:
    """End the process if it is active and nothing goes on for 30 s, until it is `stopping`.

    Returns only then. Who leaves the active state calls `let_be`, from when on `is_active` must
    say False: the next look may come late.
    """
    while not stopping.is_set():
        with _timer:
            if is_active():
                faulthandler.dump_traceback_later(_ACTIVE_S, exit=True)
            else:
                faulthandler.cancel_dump_traceback_later()
        stopping.wait(_LOOK_S)
    let_be()


def let_be() -> None:
    """Take the time back: what follows may hold Python's lock for long."""
    with _timer:
        faulthandler.cancel_dump_traceback_later()
