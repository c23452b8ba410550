"""Which way images take between the processes of one machine. Needs no ROS to be imported.

Fast DDS sends images that do not fit its 512 KiB of shared memory in fragments, and loses some.
The profile `config/fastdds_shm.xml` gives them room. It is used where nobody chose otherwise.
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

CHOICES = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')
"""Variables by which a user chooses how Fast DDS travels."""

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
    """Decide on shared memory for the nodes that are about to start.

    Args:
        environment: the variables under which they would run.
        processes: how many will share this machine's memory.

    Returns:
        The profile's variables; none where the user has chosen a transport or another
        middleware, or where the shared memory has no room.
    """
    obstacle = _obstacle(environment, processes)
    profile = next((d / PROFILE for d in config_dirs() if (d / PROFILE).is_file()), None)
    if obstacle:
        return Transport(reason=f'transport left as it is: {obstacle}')
    if profile is None:
        return Transport(reason=f'transport left as it is: {PROFILE} is not installed')
    named = dict.fromkeys(_variables_of(environment.get('ROS_DISTRO', '')), str(profile))
    return Transport(named, f'images go through shared memory, as {profile} says')


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
    for name in CHOICES:
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
