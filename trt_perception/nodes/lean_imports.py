"""Imports of a start without what only costs time there. Needs no ROS to be imported.

Nearly all of a start's processor time goes into imports, and a node that was killed is missed
until it is over.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

from trt_perception.nodes.collector import spare

_GENERATOR = 'rosidl_generator_py.generate_py_impl'
"""Writes the Python of messages at build time. Its package imports it where it can, with two
parsers, and goes on where that fails: a node needs the package's other half alone."""


@contextlib.contextmanager
def lean_imports() -> Iterator[None]:
    """Import in the block without looking for rubbish, and without the generator of messages.

    What imports make stays, and the collector passes over it from then on.
    """
    collected = gc.isenabled()
    gc.disable()
    blocked = _GENERATOR not in sys.modules
    if blocked:
        sys.modules[_GENERATOR] = None  # type: ignore[assignment]  # Python's sign for "absent"
    try:
        yield
    finally:
        if blocked:
            del sys.modules[_GENERATOR]
        spare()
        if collected:
            gc.enable()
