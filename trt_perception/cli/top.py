"""`trt_perception top`: how all nodes and cameras are doing, live."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence

from trt_perception.cli.numbers import whole
from trt_perception.cli.tables import aligned
from trt_perception.errors import MissingDependencyError
from trt_perception.monitoring.node_state import NodeState
from trt_perception.nodes.stamp_watch import duration

NOBODY = (
    'no node of this package is heard. Are they started, and are ROS_DOMAIN_ID and the '
    'middleware (RMW_IMPLEMENTATION) the same here?'
)

_TITLES = ('node', 'state', 'rate', 'dropped', 'p50', 'p99', 'age', 'GPU', 'CPU', 'RSS')
_ENGINE_TITLES = ('model', 'precision', 'engine')
_SIDES = '<<>>>>>>>><<<'
_HOME, _TO_LINE_END, _TO_SCREEN_END = '\x1b[H', '\x1b[K', '\x1b[J'
_PERIOD_S = 1.0
_LONG_AGO_S = 5.0
"""Seconds without a result after which the rate is 0, and what the last ones took is over."""


def describe() -> str:
    """One line for the help text."""
    return 'Show live how all nodes and cameras are doing: rate, drops, latency, engine, GPU.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Live or once."""
    parser.add_argument(
        '--once', action='store_true', help='print one table and exit; status 1 where nobody is'
    )
    parser.add_argument(
        '--wait',
        type=whole,
        default=10,
        metavar='S',
        help='seconds to wait for nodes before it says that there are none; default %(default)s',
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table once, or again and again until Ctrl-C."""
    try:
        from trt_perception.nodes.overview import Overview
    except ImportError as error:
        raise MissingDependencyError(
            f'top listens to ROS 2 nodes, and ROS 2 is not here ({error}): '
            'source /opt/ros/<distribution>/setup.bash, or the environment of `make setup`'
        ) from error
    with Overview() as overview:
        if arguments.once:
            overview.settle(arguments.wait)
            states = overview.states()
            print(table(states) if states else NOBODY)
            return 0 if states else 1
        nobody_s = time.monotonic() + arguments.wait
        try:
            while True:
                nobody = NOBODY if time.monotonic() > nobody_s else 'listening ...'
                _show(overview.states(), nobody)
                overview.listen(_PERIOD_S)
        except KeyboardInterrupt:
            print()
            return 0


def table(states: Sequence[NodeState], width: int = 0) -> str:
    """One line for each node and camera, then in words what is not well.

    Args:
        states: of the nodes and cameras.
        width: columns in which the words have to find room; 0 for any number. Lines of the table
            stay whole.
    """
    rows = [_TITLES + _ENGINE_TITLES, *(_row(state) for state in states)]
    of_nodes = {state.node: state.message for state in states if not state.camera}
    said = [
        line
        for state in states
        if state.message and state.state != 'OK'
        if not (state.camera and state.message in of_nodes.get(state.node, ''))
        for line in _wrapped(f'{state.state}  {_name(state)}: {state.message}', width)
    ]
    return '\n'.join([aligned(rows, _SIDES), *([''] if said else []), *said])


def _show(states: Sequence[NodeState], nobody: str) -> None:
    """On a terminal in the place of the last table, else below it; `nobody` where none is."""
    head = f'trt_perception top  {time.strftime("%H:%M:%S")}  Ctrl-C ends it'
    if not sys.stdout.isatty() or os.environ.get('TERM', 'dumb') == 'dumb':
        print(f'{head}\n\n{table(states) if states else nobody}', end='\n\n', flush=True)
        return
    columns, rows = shutil.get_terminal_size()
    told = table(states, columns).splitlines() if states else _wrapped(nobody, columns)
    lines = screen([head, '', *told], columns, rows)
    print(_HOME + '\n'.join(line + _TO_LINE_END for line in lines) + _TO_SCREEN_END, end='')
    sys.stdout.flush()


def screen(lines: Sequence[str], columns: int, rows: int) -> list[str]:
    """What of these lines a terminal has room for; the last one says how many it has not."""
    room = max(1, rows - 1)
    if len(lines) > room:
        left_out = len(lines) - room + 1
        rest = f'... {left_out} lines more'
        more = f'{rest}: enlarge the terminal, or --once'
        lines = [*lines[: room - 1], more if len(more) <= columns else rest]
    return [line[:columns] for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent='  ') if width > 20 else [text]


def _row(state: NodeState) -> tuple[str, ...]:
    dropped = str(state.frames_dropped)
    if state.frames_dropped:
        dropped += f' ({state.drop_share:.0%})'
    return (
        '  ' + state.camera if state.camera else state.node,
        _standing(state),
        _number(state.rate_hz, '.1f', 'Hz'),
        dropped,
        *_latencies(state),
        state.gpu or '-',
        state.cpu or '-',
        state.rss or '-',
        state.model or '-',
        state.precision or '-',
        state.backend or '-',
    )


def _latencies(state: NodeState) -> tuple[str, str, str]:
    """p50, p99 and age; of results of long ago only how old the newest one is by now."""
    untold = math.isnan(state.since_result_s) and state.rate_hz == 0  # of an inactive node
    if untold or state.since_result_s > _LONG_AGO_S:
        return '-', '-', _age(state.age_s + state.since_result_s)
    p50, p99 = (_number(ms, '.1f', 'ms') for ms in (state.p50_ms, state.p99_ms))
    return p50, p99, _age(state.age_s)


def _age(seconds: float) -> str:
    if math.isnan(seconds) or abs(seconds) < _LONG_AGO_S:
        return _number(seconds * 1e3, '.1f', 'ms')
    return f'{"-" if seconds < 0 else ""}{duration(abs(seconds))}'


def _standing(state: NodeState) -> str:
    """The level, or the state of a node that is well and does not work now."""
    if state.state != 'OK' or state.message in ('', 'active'):
        return state.state or '-'
    first, _, paused = state.message.partition(', paused')
    return 'paused' if first == 'active' and paused else first


def _name(state: NodeState) -> str:
    return f'{state.node} {state.camera}'.rstrip()


def _number(value: float, form: str, unit: str) -> str:
    return '-' if math.isnan(value) else f'{value:{form}} {unit}'
