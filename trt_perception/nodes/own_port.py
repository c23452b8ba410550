"""Lets a node listen at a port of Fast DDS where no process has listened before. Needs no ROS.

Fast DDS gives a process that starts the lowest port that nobody holds: that of a process which was
killed. Others go on writing to the dead one until its lease is over. At first they fill the memory
that it left. Once they have noticed, each message makes the port's memory anew, finds nobody there
and removes it, and the name of the lock by which makers of a port keep out of each other's way. A
newcomer that makes the same port meanwhile can end up with memory of which only the name is gone:
it waits there for ever, and nothing comes. `docs/transport_measured.md` tells how that was seen.

So each process listens at a number of its own. Only data goes there: the ports at which processes
meet stay where everybody expects them.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator, Set
from pathlib import Path

from trt_perception.nodes.port_files import FIRST_PORT, is_held, port_file
from trt_perception.nodes.transport import PROFILE, PROFILE_VARIABLES, SHARED_MEMORY

# Section 9.6.2.3 of https://www.omg.org/spec/DDSI-RTPS/2.3/PDF: DG, PG and d3.
_DOMAIN_GAIN, _PARTICIPANT_GAIN, _UNICAST = 250, 2, 11
_LARGEST = 65535

PARTICIPANTS = range(30, 120)
"""Whose ports are taken: below lie those of processes that do not choose, above the next domain."""

_PARTICIPANT = '<rtps>'
_WITHOUT_WAITING = '<non_blocking_send>true</non_blocking_send>'


@contextlib.contextmanager
def own_port(domain: int, folder: Path = SHARED_MEMORY, *, patient: bool = False) -> Iterator[None]:
    """Let the first participant that is made within the block listen at a port of its own.

    A `patient` one also waits for the network, where the profile says that nobody does.

    Fast DDS reads its profile when it makes the first one, and takes the next port itself where
    somebody is faster. Nothing happens under a profile that is not this package's: how data
    travels is the user's choice then.
    """
    with contextlib.ExitStack() as stack:
        for variable in PROFILE_VARIABLES:
            # A start must not fail for it: then the port is the lowest one.
            with contextlib.suppress(OSError, ValueError):
                _name_profile(stack, variable, domain, folder, patient)
        yield


def data_ports(domain: int) -> set[int]:
    """Where processes of a domain may listen for data, whether they chose a port or not."""
    first = FIRST_PORT + _DOMAIN_GAIN * domain + _UNICAST
    return {first + _PARTICIPANT_GAIN * participant for participant in range(PARTICIPANTS.stop)}


def unused_offset(domain: int, folder: Path = SHARED_MEMORY) -> int:
    """By how much the port for data lies above the domain's first one.

    Nobody listens there, and nobody writes to a dead process that did: both leave a file. Where
    every port has one, it is the port that was left the longest ago. Processes that start at the
    same moment get different ones, by their numbers.

    Raises:
        ValueError: so high a domain has no ports.
    """
    first = FIRST_PORT + _DOMAIN_GAIN * domain
    offsets = [_UNICAST + _PARTICIPANT_GAIN * participant for participant in PARTICIPANTS]
    offsets = [offset for offset in offsets if first + offset <= _LARGEST]
    if not offsets:
        raise ValueError(f'no ports in domain {domain}')
    begin = os.getpid() % len(offsets)
    turned = offsets[begin:] + offsets[:begin]
    known = _known_ports(folder, {first + offset for offset in offsets})
    return min(turned, key=lambda offset: known.get(first + offset, 0.0))


def _known_ports(folder: Path, ports: Set[int]) -> dict[int, float]:
    """Those with memory or a lock file; what is told of them: see `_free_since_s`."""
    found: dict[int, float] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            file = port_file(entry.name)
            if file and file.number in ports:
                found[file.number] = max(_free_since_s(entry), found.get(file.number, 0.0))
    return found


def _free_since_s(file: os.DirEntry[str]) -> float:
    """When a file was made; infinite where a process holds it, or nobody can tell."""
    try:
        return math.inf if is_held(file.path) else file.stat().st_mtime
    except FileNotFoundError:  # taken away meanwhile
        return 0.0
    except OSError:  # such as of another user
        return math.inf


def _name_profile(
    stack: contextlib.ExitStack, variable: str, domain: int, shared: Path, patient: bool
) -> None:
    """Let `variable` name this package's profile with another port, until the stack is left."""
    named = os.environ.get(variable, '')
    if Path(named).name != PROFILE:
        return
    text = Path(named).read_text()
    if text.count(_PARTICIPANT) != 1:
        return
    if patient:
        text = text.replace(_WITHOUT_WAITING, '')
    port = f'{_PARTICIPANT}<port><offsetd3>{unused_offset(domain, shared)}</offsetd3></port>'
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='trt_perception_')))
    file = folder / PROFILE
    file.write_text(text.replace(_PARTICIPANT, port))
    stack.callback(os.environ.__setitem__, variable, named)
    os.environ[variable] = str(file)
