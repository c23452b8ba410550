"""An environment in which ROS 2 nodes meet each other and nobody else."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping

from trt_perception.errors import PerceptionError

DOMAINS = range(1, 102)
"""Domains whose ports lie below those that Linux hands out at random. 0 is everybody's."""

# Ports of DDS: https://www.omg.org/spec/DDSI-RTPS/2.3/PDF, section 9.6.2.3.
_PORT_BASE, _DOMAIN_GAIN, _FIRST_PARTICIPANT = 7400, 250, 10

_FOREIGN = ('ROS_LOCALHOST_ONLY', 'ROS_STATIC_PEERS', 'ROS_DISCOVERY_SERVER', 'ROS_SUPER_CLIENT')
"""Variables that bring other machines in."""


def isolated(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with a free domain of its own that does not leave this machine.

    Raises:
        PerceptionError: every domain is in use.
    """
    kept = {name: value for name, value in environment.items() if name not in _FOREIGN}
    return kept | {
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


def free_domain() -> int:
    """A ROS domain in which no process of this machine takes part, chosen at random.

    Raises:
        PerceptionError: there is none.
    """
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        if _is_free(domain):
            return domain
    raise PerceptionError(
        f'all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use on this machine, or no '
        'UDP port can be opened. End some ROS 2 programs, or check the network settings'
    )


def _is_free(domain: int) -> bool:
    """Whether the first participant's port is free; the first one to come takes it."""
    port = _PORT_BASE + _DOMAIN_GAIN * domain + _FIRST_PARTICIPANT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', port))
        except OSError:
            return False
    return True
