"""The `trt_perception` command: its subcommands, and how it ends.

A subcommand is a module of this folder with three functions: `describe()` gives its help line,
`add_arguments(parser)` its arguments, `run(arguments)` does the work and returns the exit
status. It imports what is heavy within `run`, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from trt_perception.errors import PerceptionError

COMMANDS = (
    'detect',
    'replay',
    'demo',
    'models',
    'top',
    'doctor',
    'build',
    'cache',
    'calibrate',
    'evaluate',
    'benchmark',
    'inspect',
    'export',
    'selftest',
)
"""Modules of `trt_perception.cli`, in the order of the help text."""

OK, NOTHING_WORKED, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


class Command(Protocol):
    """What a subcommand's module offers."""

    def describe(self) -> str: ...

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog='trt_perception',
        description='Finds objects, instance masks and semantic classes in images.',
    )
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name in COMMANDS:
        module = cast(Command, importlib.import_module(f'trt_perception.cli.{name}'))
        described = module.describe()
        command = commands.add_parser(name, help=described, description=described)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; None takes the process's own arguments. Returns the exit status."""
    try:
        return _run(build_parser().parse_args(arguments))
    except PerceptionError as error:
        print(f'trt_perception: {error}', file=sys.stderr)
        return REFUSED
    except ModuleNotFoundError as error:
        from trt_perception.building.libraries import REQUIRED

        if (error.name or '').partition('.')[0] not in REQUIRED:
            raise
        print(
            f'trt_perception: {error}: the installation is not complete. `trt_perception doctor` '
            'says what is missing and how to install it',
            file=sys.stderr,
        )
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has closed it, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _run(parsed: argparse.Namespace) -> int:
    # FFmpeg and OpenCV report on stderr what the package reports better.
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    # A name that the terminal's encoding lacks must not end the run.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')
    logging.basicConfig(format='%(levelname)s: %(message)s', level=logging.WARNING)
    return int(parsed.run(parsed))
