"""The variables under which everything of this package runs, and the file that sets them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environment.distribution import WHEELS_GUARD

# Left by an enclosing make, these change what a make started by cmake does.
FORGOTTEN = ('MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES', 'PYTHONHOME')

# Installed packages whose messages and modules must be found, the nearest first.
PACKAGES = ('trt_perception', 'vision_msgs')


@dataclass
class Variables:
    """Variables to set.

    `texts` replace what was there. Each of `prefixes` is put in front of what
    is there; each of `lists` replaces it, so that nothing of a distribution
    that happens to be sourced gets mixed in.
    """

    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    prefixes: dict[str, list[str]] = field(default_factory=dict)

    def applied(self, base: Mapping[str, str]) -> dict[str, str]:
        """Gives a process environment made from `base`."""
        result = {name: text for name, text in base.items() if name not in FORGOTTEN}
        result.update(self.texts)
        for name, parts in self.lists.items():
            result[name] = os.pathsep.join(parts)
        for name, parts in self.prefixes.items():
            rest = [part for part in result.get(name, '').split(os.pathsep) if part]
            result[name] = os.pathsep.join(parts + [part for part in rest if part not in parts])
        return result

    def shell(self) -> str:
        """Gives the same as lines for a POSIX shell; sourcing them twice does no harm."""
        lines = [f'unset {" ".join(FORGOTTEN)}']
        for name, text in self.texts.items():
            lines.append(f'export {name}={shlex.quote(text)}')
        for name, parts in self.lists.items():
            lines.append(f'export {name}={shlex.quote(os.pathsep.join(parts))}')
        for name, parts in self.prefixes.items():
            joined = shlex.quote(os.pathsep.join(parts))
            lines += [
                f'case ":${{{name}:-}}:" in',
                f'  *:{joined}:*) ;;',
                f'  *) export {name}={joined}"${{{name}:+:${name}}}" ;;',
                'esac',
            ]
        return '\n'.join(lines) + '\n'


def python_folder(version: tuple[int, int]) -> str:
    """Gives where a prefix keeps Python modules, relative to it."""
    return f'lib/python{version[0]}.{version[1]}/site-packages'


def install_python_folders(install: Path, version: tuple[int, int]) -> list[str]:
    """Gives the module folders of the packages in a colcon install folder."""
    return [str(install / package / python_folder(version)) for package in PACKAGES]


def wheels_variables(home: Path, distro: str, version: tuple[int, int]) -> Variables:
    """Gives the variables of an environment whose ROS 2 comes from wheels.

    The wheels' own bootstrapper restarts Python once to set the library path,
    and keeps others from doing so by a guard. Both are set here, so that no
    process restarts, and processes other than that Python find the libraries.
    """
    venv = home / 'venv'
    install = home / 'install'
    prefixes = [str(install / package) for package in PACKAGES] + [str(venv)]
    wheel_libraries = sorted((venv / python_folder(version)).glob('ros_*.libs'))
    return Variables(
        texts={
            'ROS_DISTRO': distro,
            'ROS_VERSION': '2',
            'ROS_PYTHON_VERSION': '3',
            'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
            'ROS_LOG_DIR': str(home / 'log' / 'nodes'),
            'VIRTUAL_ENV': str(venv),
            WHEELS_GUARD: '1',
        },
        lists={
            'AMENT_PREFIX_PATH': prefixes,
            'CMAKE_PREFIX_PATH': prefixes,
            'COLCON_PREFIX_PATH': [str(install)],
            'PYTHONPATH': install_python_folders(install, version),
        },
        prefixes={
            'LD_LIBRARY_PATH': [str(Path(prefix) / 'lib') for prefix in prefixes]
            + [str(folder) for folder in wheel_libraries],
            'PATH': [str(install / 'trt_perception/lib/trt_perception'), str(venv / 'bin')],
        },
    )


def sourced_variables(
    home: Path, sourced: Mapping[str, str], version: tuple[int, int]
) -> Variables:
    """Gives the variables of an environment on top of a sourced distribution.

    The values that the distribution set are recorded, so that the written
    file also works in a shell where it is not sourced.
    """

    def parts(name: str) -> list[str]:
        return [part for part in sourced.get(name, '').split(os.pathsep) if part]

    venv = home / 'venv'
    install = home / 'install'
    own = [str(install / package) for package in PACKAGES]
    texts = {
        name: sourced[name]
        for name in (
            'ROS_DISTRO',
            'ROS_VERSION',
            'ROS_PYTHON_VERSION',
            'RMW_IMPLEMENTATION',
            WHEELS_GUARD,
        )
        if name in sourced
    }
    under = tuple(prefix + os.sep for prefix in parts('AMENT_PREFIX_PATH'))
    programs = [part for part in parts('PATH') if (part + os.sep).startswith(under)]
    return Variables(
        texts=texts | {'ROS_LOG_DIR': str(home / 'log' / 'nodes'), 'VIRTUAL_ENV': str(venv)},
        lists={
            'AMENT_PREFIX_PATH': own + parts('AMENT_PREFIX_PATH'),
            'CMAKE_PREFIX_PATH': own + (parts('CMAKE_PREFIX_PATH') or parts('AMENT_PREFIX_PATH')),
            'COLCON_PREFIX_PATH': [str(install), *parts('COLCON_PREFIX_PATH')],
            'PYTHONPATH': install_python_folders(install, version) + parts('PYTHONPATH'),
        },
        prefixes={
            'LD_LIBRARY_PATH': [str(Path(prefix) / 'lib') for prefix in own]
            + parts('LD_LIBRARY_PATH'),
            'PATH': [
                str(install / 'trt_perception/lib/trt_perception'),
                str(venv / 'bin'),
                *programs,
            ],
        },
    )
