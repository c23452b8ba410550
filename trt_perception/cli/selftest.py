"""`trt_perception selftest`: verify this package on a device, in one report to send."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trt_perception.cli.paths import path

if TYPE_CHECKING:
    from trt_perception.building.selftest import Check, Report


def describe() -> str:
    """One line for the help text."""
    return 'Build, compare, run and time engines on this device; print a report for an issue.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to check, and where the report goes."""
    parser.add_argument(
        '--model',
        '-m',
        action='append',
        default=[],
        metavar='MODEL',
        help='name or YAML file; repeatable; default: the three street models',
    )
    parser.add_argument(
        '--precisions', default='fp32,fp16,int8', metavar='A,B', help='default %(default)s'
    )
    parser.add_argument('--json', type=path, metavar='FILE', help='write the report as JSON, too')


def run(arguments: argparse.Namespace) -> int:
    """Check, print; 0 unless a check failed. What could not be verified is no failure."""
    import tempfile
    import threading

    from trt_perception.building.precision import PRECISIONS
    from trt_perception.building.selftest import MODELS, selftest
    from trt_perception.cli.building import ctrl_c_sets
    from trt_perception.cli.doctor import report as facts_as_text
    from trt_perception.errors import BuildCancelledError, ParameterError

    named = [name for name in arguments.precisions.split(',') if name]
    precisions = [name for name in PRECISIONS if name in named]
    if set(named) - set(precisions) or not named:
        raise ParameterError(
            f'--precisions {arguments.precisions}: allowed are {", ".join(PRECISIONS)}'
        )
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix='trt_perception_') as folder, ctrl_c_sets(stop):
        try:
            report = selftest(
                Path(folder) / 'engines',
                models=arguments.model or MODELS,
                precisions=precisions,
                tell=lambda check: print(_line(check), flush=True),
                cancelled=stop.is_set,
            )
        except BuildCancelledError:
            raise KeyboardInterrupt from None
    print('\n' + facts_as_text(report.facts))
    print('\n' + _summary(report))
    if arguments.json:
        _write(arguments.json, report)
    return int(report.failed)


def _line(check: Check) -> str:
    seconds = f' ({check.seconds:.1f} s)' if check.seconds >= 0.05 else ''
    return f'{check.state:13}{check.what}{seconds}: {check.detail}'


def _summary(report: Report) -> str:
    states = [check.state for check in report.checks]
    counted = ', '.join(
        f'{states.count(state)} {state}' for state in ('passed', 'failed', 'not verified')
    )
    return f'trt_perception selftest: {counted}'


def _write(path: Path, report: Report) -> None:
    import dataclasses
    import json

    from trt_perception.errors import OutputError

    content = {
        'format': 'trt_perception.selftest',
        'version': 1,
        'failed': report.failed,
        'checks': [dataclasses.asdict(check) for check in report.checks],
        'facts': dataclasses.asdict(report.facts),
    }
    try:
        path.write_text(json.dumps(content, indent=2) + '\n')
    except OSError as error:
        raise OutputError(f'{path}: cannot be written: {error}') from error
