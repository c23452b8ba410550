"""Names what is missing from the system, with the command that installs it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from environment import headers
from environment.steps import SetupError

# The exported targets of ROS 2 need this one; the newest 4 has dropped what some still ask for.
OLDEST_CMAKE = (3, 16)
CMAKE_REQUIREMENT = 'cmake==3.31.6'


@dataclass(frozen=True)
class Missing:
    """Something that the system lacks: what for people, and its Debian package."""

    what: str
    package: str


def check(environment: Mapping[str, str]) -> None:
    """Raises SetupError that lists everything missing at once."""
    missing = [*missing_modules(), *missing_programs(environment)]
    if not missing:
        return
    packages = ' '.join(sorted({item.package for item in missing}))
    raise SetupError(
        'Missing on this system:\n'
        + ''.join(f'  - {item.what}\n' for item in missing)
        + f'Install it, on Debian or Ubuntu:\n  sudo apt install {packages}'
    )


def missing_modules() -> list[Missing]:
    version = f'{sys.version_info[0]}.{sys.version_info[1]}'
    missing = []
    if not (importlib.util.find_spec('venv') and importlib.util.find_spec('ensurepip')):
        what = f'the modules venv and ensurepip of {sys.executable}'
        missing.append(Missing(what, f'python{version}-venv'))
    if not headers.are_installed() and not headers.can_be_fetched():
        what = f'the headers of {sys.executable} (Python.h)'
        missing.append(Missing(what, f'python{version}-dev'))
    return missing


def missing_programs(environment: Mapping[str, str]) -> list[Missing]:
    path = environment.get('PATH')
    missing = []
    if not any(shutil.which(name, path=path) for name in compilers(environment, 'CC', 'cc', 'gcc')):
        missing.append(Missing('a C compiler (cc)', 'build-essential'))
    if not any(
        shutil.which(name, path=path) for name in compilers(environment, 'CXX', 'c++', 'g++')
    ):
        missing.append(Missing('a C++ compiler (c++)', 'build-essential'))
    if shutil.which('make', path=path) is None:
        missing.append(Missing('make', 'build-essential'))
    return missing


def compilers(environment: Mapping[str, str], variable: str, *names: str) -> list[str]:
    chosen = environment.get(variable, '').split()
    return chosen[:1] or list(names)


def cmake_requirement(environment: Mapping[str, str]) -> list[str]:
    """Gives what to install from the Python index where the system's cmake will not do."""
    program = shutil.which('cmake', path=environment.get('PATH'))
    if program is None:
        return [CMAKE_REQUIREMENT]
    output = subprocess.run([program, '--version'], capture_output=True, text=True).stdout
    found = re.search(r'version (\d+)\.(\d+)', output)
    recent = found is not None and (int(found[1]), int(found[2])) >= OLDEST_CMAKE
    return [] if recent else [CMAKE_REQUIREMENT]
