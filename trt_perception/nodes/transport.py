"""Which way images take between the processes of one machine. Needs no ROS to be imported.

Fast DDS sends images that do not fit its 512 KiB of shared memory in fragments, and loses some.
Cyclone DDS loses what does not fit its sockets. Profiles in `config/` give images room. They are
used where nobody chose otherwise.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trt_perception.model_store import config_dirs

PROFILE = 'fastdds_shm.xml'
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
"""Where Fast DDS 3 and Fast DDS 2 look for the name of a profile file."""

_FAST_DDS_2 = ('foxy', 'galactic', 'humble', 'iron', 'jazzy')
"""Distributions with Fast DDS 2. Later ones complain about its variable."""

SHARED_MEMORY = Path('/dev/shm')
BYTES_A_PROCESS = 72 * 2**20
"""What one process takes of the shared memory under the profile: its segment and the rest."""

CYCLONE_VARIABLE = 'CYCLONEDDS_URI'
"""Where Cyclone DDS looks for its configuration: XML, or a file with it."""

RECEIVE_BUFFER = Path('/proc/sys/net/core/rmem_max')
WANTED_BUFFER = 8 * 2**20
"""Bytes that a socket should be allowed to hold: more than a 1080p image."""

_FAST_DDS_CHOICES = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')
CHOICES = (*_FAST_DDS_CHOICES, CYCLONE_VARIABLE)
"""Variables by which a user chooses how images travel."""

_CYCLONE_PROFILE, _CYCLONE_ONE_MACHINE = 'cyclonedds.xml', 'cyclonedds_one_machine.xml'
_CYCLONE = 'rmw_cyclonedds_cpp'

_FILES = ('DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml')
_FAST_DDS = ('', 'rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp')


@dataclass(frozen=True)
class Transport:
    """Environment variables to set for the nodes, and in words why these.

    Attributes:
        variables: to be added; none of them is set yet.
        reason: for the log.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    reason: str = ''


def choose_transport(environment: Mapping[str, str], processes: int) -> Transport:
    """Decide how images travel between the nodes that are about to start.

    Args:
        environment: the variables under which they would run.
        processes: how many will share this machine's memory.

    Returns:
        The middleware's variables; none where the user has chosen a transport or a middleware
        of which nothing is known here, or where the shared memory has no room.
    """
    if environment.get('RMW_IMPLEMENTATION') == _CYCLONE:
        return _by_sockets(environment)
    if obstacle := _obstacle(environment, processes):
        return _left(obstacle)
    if (profile := _installed(PROFILE)) is None:
        return _left(f'{PROFILE} is not installed')
    named = dict.fromkeys(_variables_of(environment.get('ROS_DISTRO', '')), str(profile))
    return Transport(named, f'images go through shared memory, as {profile} says')


def socket_limit() -> int | None:
    """Bytes that a socket may hold by this machine's settings; None where that is not told."""
    try:
        return int(RECEIVE_BUFFER.read_text())
    except (OSError, ValueError):
        return None


def _by_sockets(environment: Mapping[str, str]) -> Transport:
    """For Cyclone DDS."""
    if environment.get(CYCLONE_VARIABLE):
        return _left(f'{CYCLONE_VARIABLE} is set')
    alone = (
        environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST'
        or environment.get('ROS_LOCALHOST_ONLY') == '1'
    )
    name = _CYCLONE_ONE_MACHINE if alone else _CYCLONE_PROFILE
    if (profile := _installed(name)) is None:
        return _left(f'{name} is not installed')
    reason = f'images go through sockets with room for them, as {profile} says'
    limit = socket_limit()
    if limit is not None and limit < WANTED_BUFFER:
        reason += (
            f'. Sockets may hold {limit} bytes only, and what does not fit is lost: '
            f'sudo sysctl -w net.core.rmem_max={WANTED_BUFFER}'
        )
    return Transport({CYCLONE_VARIABLE: f'file://{profile}'}, reason)


def _left(why: str) -> Transport:
    return Transport(reason=f'transport left as it is: {why}')


def _installed(profile: str) -> Path | None:
    return next((d / profile for d in config_dirs() if (d / profile).is_file()), None)


def _variables_of(distribution: str) -> tuple[str, ...]:
    """Those that Fast DDS of a ROS 2 distribution reads; all where that is not known."""
    new, old = PROFILE_VARIABLES
    if not distribution:
        return PROFILE_VARIABLES
    return (old,) if distribution in _FAST_DDS_2 else (new,)


def _obstacle(environment: Mapping[str, str], processes: int) -> str:
    """Why the profile is not used, in words; '' when nothing speaks against it."""
    middleware = environment.get('RMW_IMPLEMENTATION', '')
    if middleware not in _FAST_DDS:
        return f'RMW_IMPLEMENTATION is {middleware}'
    for name in _FAST_DDS_CHOICES:
        if environment.get(name):
            return f'{name} is set'
    for file in _FILES:
        if Path(file).is_file():
            return f'{file} lies in the current folder'
    try:
        free = shutil.disk_usage(SHARED_MEMORY).free
    except OSError as error:
        return f'{SHARED_MEMORY} cannot be used: {error.strerror}'
    needed = processes * BYTES_A_PROCESS
    if free < needed:
        return (
            f'{SHARED_MEMORY} has {free >> 20} MiB free, {processes} processes need '
            f'{needed >> 20} MiB. Free what killed processes left with `fastdds shm clean`, or '
            f'enlarge it, in a container with --shm-size={needed >> 20}m'
        )
    return ''
