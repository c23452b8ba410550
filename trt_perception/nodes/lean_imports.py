"""Imports of a start without what only costs time there. Needs no ROS to be imported.

Nearly all of a start's processor time goes into imports, and a node that was killed is missed
until it is over.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import TypeVar, cast

from trt_perception.nodes.collector import spare

Function = TypeVar('Function', bound=Callable[..., object])

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


_ROOM = 70_000
"""Words of a frame, for which Python asks for a piece of 1 MiB and leaves nearly half of it."""


def with_room(function: Function) -> Function:
    """Let the calls below `function` find room for their frames, for as long as it runs.

    Python 3.11 and later keep the frames of a thread in pieces of 16 KB. A call that does not fit
    asks the system for another piece and gives it back at its return: where a loop, or the
    machinery of imports, happens to stand at that edge, with every call. A frame that claims more
    gets a larger piece, of which only what is used takes memory: `push_chunk` in
    https://github.com/python/cpython/blob/3.11/Python/pystate.c.
    """
    if sys.version_info >= (3, 11):
        plain = cast(FunctionType, function)
        plain.__code__ = plain.__code__.replace(co_stacksize=_ROOM)
    return function
