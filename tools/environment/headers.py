"""Finds Python's headers, which compiling messages needs.

Debian and Ubuntu keep them in a package of their own, which a machine with
Python and a compiler often lacks and which only root can install. It can be
fetched and unpacked without root, into the environment's folder.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from environment.steps import Runner, SetupError

VERSION = f'{sys.version_info[0]}.{sys.version_info[1]}'
PACKAGE = f'libpython{VERSION}-dev'


def are_installed() -> bool:
    return any(
        Path(sysconfig.get_path(name), 'Python.h').is_file() for name in ('include', 'platinclude')
    )


def folder(home: Path) -> Path:
    """Gives the folder with Python.h: the installed one, or else the fetched one."""
    if are_installed():
        return Path(sysconfig.get_path('include'))
    return home / 'headers' / 'usr' / 'include' / f'python{VERSION}'


def cmake_arguments(home: Path) -> list[str]:
    return [f'-DPython3_INCLUDE_DIR={folder(home)}']


def compiler_variables(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Gives variables for the compiler: Debian's pyconfig.h includes one beside python3.x/."""
    if are_installed():
        return {}
    parts = [str(folder(home)), str(folder(home).parent), environment.get('CPATH', '')]
    return {'CPATH': os.pathsep.join(part for part in parts if part)}


def can_be_fetched() -> bool:
    """Says whether this Python is Debian's or Ubuntu's own, with their tools at hand."""
    tools = all(shutil.which(name) for name in ('apt-get', 'dpkg-deb'))
    return tools and os.path.realpath(sys.executable) == f'/usr/bin/python{VERSION}'


def fetch(runner: Runner, home: Path, environment: Mapping[str, str]) -> None:
    """Unpacks the headers' package under the environment's folder.

    Raises SetupError that names the command which installs it, where neither
    the system's package lists nor fresh ones of our own have it.
    """
    target = home / 'headers'
    shutil.rmtree(target, ignore_errors=True)
    (target / 'lists' / 'partial').mkdir(parents=True)
    (target / 'cache' / 'archives' / 'partial').mkdir(parents=True)
    own_lists = ['-o', f'Dir::State::Lists={target}/lists', '-o', f'Dir::Cache={target}/cache']
    # The unprivileged user that apt downloads as may not see the checkout.
    apt = ['apt-get', '-q', '-o', 'APT::Sandbox::User=']
    try:
        try:
            runner.run('headers', [*apt, 'download', PACKAGE], environment, cwd=target)
        except SetupError:
            runner.run('headers', [*apt, *own_lists, 'update'], environment, cwd=target)
            runner.run('headers', [*apt, *own_lists, 'download', PACKAGE], environment, cwd=target)
        archive = next(target.glob(f'{PACKAGE}_*.deb'))
        runner.run('headers', ['dpkg-deb', '-x', archive, target], environment)
        archive.unlink()
    except SetupError as error:
        raise SetupError(
            f'{error}\n\n{missing_text("They could not be fetched either.")}'
        ) from None
    finally:
        for name in ('lists', 'cache'):
            shutil.rmtree(target / name, ignore_errors=True)


def missing_text(reason: str = '') -> str:
    lines = [
        'Missing on this system:',
        f'  - the headers of {sys.executable} (Python.h)',
        reason,
        'Install it, on Debian or Ubuntu:',
        f'  sudo apt install python{VERSION}-dev',
    ]
    return '\n'.join(line for line in lines if line)
