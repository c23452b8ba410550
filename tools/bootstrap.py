#!/usr/bin/env python3
"""Sets up the environment in which trt_perception is built, tested and run.

Usage: bootstrap.py [--python PYTHON] [--distro DISTRO] setup | setup-tests | activate-path

`setup-tests` also installs what only the tests need and is large.

Only the standard library is used, and this file is kept readable for any
Python 3, so that an unsupported one is told so and not shown a syntax error.
"""

import argparse
import os
import shutil
import subprocess
import sys
from typing import Optional, Tuple

SUPPORTED = ((3, 10), (3, 11), (3, 12))
# Inside a virtual environment, the Python that it was made with is meant: one
# of our own may be removed and made again.
PROBE = (
    'import sys; print("%d.%d" % sys.version_info[:2]);'
    'print(getattr(sys, "_base_executable", None) or sys.executable)'
)


def probe(command: str) -> Optional[Tuple[Tuple[int, ...], str]]:
    """Gives (version, executable) of a Python command, or None if it does not run."""
    path = shutil.which(command)
    if path is None:
        return None
    try:
        output = subprocess.check_output([path, '-c', PROBE], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    version, executable = output.decode().splitlines()
    return tuple(int(part) for part in version.split('.')), executable


def choose_python(wanted: str) -> str:
    """Gives the executable of a supported Python, or stops with what to install."""
    tried = []
    names = [wanted] if wanted else ['python3', 'python3.12', 'python3.11', 'python3.10']
    for name in names:
        found = probe(name)
        if found is None:
            tried.append('%s: not found' % name)
        elif found[0] not in SUPPORTED:
            tried.append('%s: is Python %s' % (name, '.'.join(map(str, found[0]))))
        else:
            return found[1]
    sys.exit(
        'Python 3.10, 3.11 or 3.12 is needed, and none was found (%s).\n'
        'Install one, for example on Debian or Ubuntu:\n'
        '  sudo apt install python3 python3-venv python3-dev\n'
        'or name one that is already there: make PYTHON=/path/to/python3.11' % '; '.join(tried)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('command', choices=('setup', 'setup-tests', 'activate-path'))
    parser.add_argument('--python', default='', help='Python to make the environment with')
    parser.add_argument('--distro', default='', help='ROS 2 distribution asked for by name')
    arguments = parser.parse_args()

    executable = choose_python(arguments.python)
    same = os.path.realpath(executable) == os.path.realpath(sys.executable)
    if not same or sys.prefix != getattr(sys, 'base_prefix', sys.prefix):
        os.execv(executable, [executable, os.path.abspath(__file__)] + sys.argv[1:])

    from environment import setup

    sys.exit(setup.main(arguments.command, arguments.distro, bool(arguments.python)))


if __name__ == '__main__':
    main()
