"""Notices processes that Fast DDS takes for this machine's, but that have another /dev/shm.

Containers with --net=host and without --ipc=host are such. Fast DDS tells machines apart by their
network addresses, sends what is meant for the same machine by shared memory only, and neither end
notices that nobody reads it. `docs/transport.md` tells how that was seen. Needs no ROS.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from trt_perception.nodes.own_port import data_ports
from trt_perception.nodes.port_files import LISTENER, is_held, port_file
from trt_perception.nodes.transport import SHARED_MEMORY

SOCKETS = Path('/proc/net/udp')
"""Those of this network, of other containers too."""

REMEDY = (
    'start the containers with --ipc=host, or one of the two ends with '
    'FASTDDS_BUILTIN_TRANSPORTS=UDPv4'
)

_HOST = slice(0, 4)
"""Of a GUID: who made the middleware, and two bytes of the machine's addresses."""
_FAST_DDS = b'\x01\x0f'


def processes_elsewhere(domain: int, folder: Path = SHARED_MEMORY, sockets: Path = SOCKETS) -> int:
    """How many processes of a domain listen in this network, but not at its shared memory.

    Those that use no shared memory count too: from here they look the same.
    """
    ports = data_ports(domain)
    return max(0, len(ports & _bound(sockets)) - len(ports & _held(folder)))


def same_machine(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether Fast DDS sends between two ends of a topic by shared memory.

    Args:
        one, other: their GUIDs, as rclpy tells them.
    """
    host = bytes(one[_HOST])
    return host.startswith(_FAST_DDS) and host == bytes(other[_HOST])


def _bound(sockets: Path) -> set[int]:
    with contextlib.suppress(OSError):
        lines = sockets.read_text().splitlines()[1:]
        return {int(line.split()[1].rpartition(':')[2], 16) for line in lines}
    return set()


def _held(folder: Path) -> set[int]:
    """Ports of the shared memory at which somebody listens."""
    found = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            file = port_file(entry.name)
            if file and file.ending == LISTENER:
                with contextlib.suppress(OSError):
                    if is_held(entry.path):
                        found.add(file.number)
    return found
