"""Measures how images travel between two processes of this machine, and says what to change.

Needs no ROS to be imported; the processes that it starts do.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trt_perception.errors import MissingDependencyError, PerceptionError
from trt_perception.nodes.other_memory import REMEDY, processes_elsewhere
from trt_perception.nodes.transport import (
    CHOICES,
    CYCLONE_VARIABLE,
    SHARED_MEMORY,
    WANTED_BUFFER,
    Transport,
    choose_transport,
    socket_limit,
)

SIZES = ((640, 480), (1920, 1080))
RATE_HZ = 10.0
FRAMES = 40
_WARM_UP = 5
"""Frames at the start that do not count: discovery and first allocations."""

_LIMIT_S = 60.0
_WORTH_SAYING = 1.5
"""How many times slower the defaults must be for a change to be recommended."""

PACKAGE, DEFAULTS = 'this package', "middleware's defaults"
UNCHOSEN = 'without your choice'
"""This package's settings where nobody had chosen a transport; measured where somebody has."""


@dataclass(frozen=True)
class PathFigures:
    """How images of one size fared, from the stamp to Python on the other side.

    Attributes:
        settings: `PACKAGE`, `DEFAULTS` or `UNCHOSEN`.
        size: (width, height) of the bgr8 images.
        sent, lost: how many.
        p50_ms, p99_ms: of those that arrived; NaN where none did.
    """

    settings: str
    size: tuple[int, int]
    sent: int
    lost: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class TransportReport:
    """What was measured, under which middleware, and what follows.

    Attributes:
        middleware: value of RMW_IMPLEMENTATION, or that it is not set.
        transport: what the launch files choose here, in words.
        figures: for each size with the defaults and with this package's settings.
        advice: what to change, one sentence or two each; empty where all is well.
    """

    middleware: str
    transport: str
    figures: tuple[PathFigures, ...]
    advice: tuple[str, ...]


def measure_transport(
    environment: Mapping[str, str] = os.environ,
    *,
    sizes: Sequence[tuple[int, int]] = SIZES,
    frames: int = FRAMES,
    rate_hz: float = RATE_HZ,
) -> TransportReport:
    """Send images from one process to another, by default for about half a minute.

    Args:
        environment: that of the nodes. What it chooses stands.
        sizes: (width, height) of the images.
        frames: images of each size and of each of two or three settings, at least 10.
        rate_hz: images per second.

    Raises:
        MissingDependencyError: there is no ROS 2 in the environment.
        PerceptionError: the processes do not come to an end.
    """
    chosen = choose_transport(environment, 2)
    plain = {name: text for name, text in environment.items() if name not in CHOICES}
    cases = [(DEFAULTS, plain, False), (PACKAGE, {**environment, **chosen.variables}, True)]
    if not chosen.variables and len(plain) < len(environment):
        unchosen = choose_transport(plain, 2)
        if unchosen.variables:
            cases.append((UNCHOSEN, {**plain, **unchosen.variables}, True))
    figures = tuple(
        _measure(settings, size, variables, ours, frames, rate_hz)
        for size in sizes
        for settings, variables, ours in cases
    )
    return TransportReport(
        environment.get('RMW_IMPLEMENTATION') or "not set: the distribution's own",
        chosen.reason,
        figures,
        (
            *advice(figures, chosen, environment, socket_limit()),
            *apart(environment, processes_elsewhere(_domain(environment))),
        ),
    )


def advice(
    figures: Sequence[PathFigures],
    chosen: Transport,
    environment: Mapping[str, str],
    receive_buffer: int | None,
) -> list[str]:
    """What to change, in words.

    Args:
        figures: as measured.
        chosen: what the launch files choose.
        environment: of the nodes.
        receive_buffer: greatest size in bytes of a socket's buffer; None where unknown.
    """
    said = []
    ours = [one for one in figures if one.settings == PACKAGE]
    theirs = [one for one in figures if one.settings == DEFAULTS]
    gains = any(
        d.lost > o.lost or d.p50_ms > _WORTH_SAYING * o.p50_ms
        for d, o in zip(theirs, ours, strict=True)
    )
    if gains and chosen.variables:
        exports = ' '.join(f'{name}={value}' for name, value in chosen.variables.items())
        like = f"in the same way as this package's launch files start their nodes: export {exports}"
        said.append(
            f"Start the camera's driver, and whatever else takes images, {like}"
            if CYCLONE_VARIABLE in chosen.variables
            else f"Start the camera's driver {like}. Both ends of a topic need it"
        )
    no_room = str(SHARED_MEMORY) in chosen.reason and not chosen.variables
    if no_room or (not chosen.variables and any(one.lost for one in ours)):
        said.append(f'Images {"are lost" if not no_room else "go by sockets"}: {chosen.reason}')
    said += _dearly_chosen(figures, environment)
    middleware = environment.get('RMW_IMPLEMENTATION', '')
    # Zenoh sends by TCP, whose room net.core.rmem_max does not bound.
    by_udp = 'zenoh' not in middleware and any(one.lost for one in ours)
    small = receive_buffer is not None and receive_buffer < WANTED_BUFFER
    if small and ('cyclone' in middleware or by_udp):
        said.append(
            f'Sockets may hold {receive_buffer} bytes, less than an image: '
            f'sudo sysctl -w net.core.rmem_max={WANTED_BUFFER}'
        )
    return said


def apart(environment: Mapping[str, str], elsewhere: int) -> Sequence[str]:
    """What to do about containers that share the network, but not the memory.

    Args:
        environment: of the nodes.
        elsewhere: see `processes_elsewhere`.
    """
    by_shared_memory = 'fastrtps' in (environment.get('RMW_IMPLEMENTATION') or 'fastrtps')
    if not elsewhere or not by_shared_memory or environment.get('FASTDDS_BUILTIN_TRANSPORTS'):
        return []
    processes = f'{elsewhere} process{"" if elsewhere == 1 else "es"}'
    return [
        f'ROS domain {_domain(environment)} has {processes} in this network with nothing in this '
        f'{SHARED_MEMORY}: they use UDP alone, or are in a container. From and to one with '
        f'--net=host nothing passes: {REMEDY}'
    ]


def _domain(environment: Mapping[str, str]) -> int:
    text = environment.get('ROS_DOMAIN_ID', '')
    return int(text) if text.isdecimal() else 0


def _dearly_chosen(figures: Sequence[PathFigures], environment: Mapping[str, str]) -> Sequence[str]:
    """What the user's own choice of a transport costs; nothing where it costs nothing."""
    ours = {one.size: one for one in figures if one.settings == PACKAGE}
    dearest = max(
        ((ours[one.size], one) for one in figures if one.settings == UNCHOSEN),
        key=lambda pair: (pair[0].lost - pair[1].lost, pair[0].p50_ms - pair[1].p50_ms),
        default=None,
    )
    if dearest is None:
        return []
    chosen, without = dearest
    if chosen.lost <= without.lost and not chosen.p50_ms > _WORTH_SAYING * without.p50_ms:
        return []
    names, remedy = _mended_choice(environment)
    width, height = without.size
    return [
        f'{names} is your choice and stands. Images of {width}x{height} with it: '
        f'{_fared(chosen)}; without it: {_fared(without)}. {remedy}'
    ]


def _mended_choice(environment: Mapping[str, str]) -> tuple[str, str]:
    """What the user has chosen, and what to do about it."""
    plain = {name: text for name, text in environment.items() if name not in CHOICES}
    ours = choose_transport(plain, 2).variables.get(CYCLONE_VARIABLE)
    if ours is None:
        names = [n for n in CHOICES if n != CYCLONE_VARIABLE and environment.get(n)]
        return ', '.join(names), 'Unset it for the nodes and the camera'
    # Most name a network interface. Cyclone DDS reads a list, and what comes later goes first.
    both = f'{ours},{environment[CYCLONE_VARIABLE]}'
    kept = f"To keep it and give images room: export {CYCLONE_VARIABLE}='{both}'"
    return CYCLONE_VARIABLE, kept


def _fared(figures: PathFigures) -> str:
    took = 'none arrives' if math.isnan(figures.p50_ms) else f'{figures.p50_ms:.1f} ms'
    return f'{took}, {figures.lost} of {figures.sent} lost'


def _measure(
    settings: str,
    size: tuple[int, int],
    environment: Mapping[str, str],
    ours: bool,
    frames: int,
    rate_hz: float,
) -> PathFigures:
    wanted = {
        'topic': f'/trt_perception_doctor_{os.getpid()}/image',
        'size': size,
        'frames': frames,
        'rate': rate_hz,
        'keep_memory': ours,
    }
    # Nothing of this leaves the machine.
    variables = {**environment, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    with tempfile.TemporaryDirectory() as folder:
        taker = _started({**wanted, 'role': 'take' if ours else 'spin'}, variables, folder)
        sender = _started({**wanted, 'role': 'publish'}, variables, folder)
        stamps = _answer(sender, [taker])['stamps'][_WARM_UP:]
        arrivals = _answer(taker, [])['arrivals']
    ages = [(arrivals[str(s)] - s) / 1e6 for s in stamps if str(s) in arrivals]
    p50, p99 = (statistics.median(ages), _p99(ages)) if ages else (math.nan, math.nan)
    return PathFigures(settings, size, len(stamps), len(stamps) - len(ages), p50, p99)


def _p99(ages: Sequence[float]) -> float:
    return sorted(ages)[min(len(ages) - 1, math.ceil(0.99 * len(ages)) - 1)]


def _started(
    wanted: Mapping[str, object], environment: Mapping[str, str], folder: str
) -> subprocess.Popen[str]:
    code = 'from trt_perception.nodes.image_path import main; main()'
    return subprocess.Popen(
        [sys.executable, '-c', code, json.dumps(wanted)],
        env=dict(environment),
        cwd=folder,  # a checkout of the package in the current folder would hide its messages
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(status: int) -> str:
    """In words how a process ended that said nothing."""
    if status >= 0:
        return 'it said nothing'
    remedy = '. The shared memory may be full: df /dev/shm' if status == -signal.SIGBUS else ''
    return f'it was ended by {signal.Signals(-status).name}{remedy}'


def _answer(process: subprocess.Popen[str], others: Sequence[subprocess.Popen[str]]) -> Any:
    """What a process printed; the `others` end with it where it fails."""
    try:
        output, errors = process.communicate(timeout=_LIMIT_S)
        return json.loads(output.strip().splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        text = f'an end of the image path has not finished after {_LIMIT_S:.0f} s'
        raise PerceptionError(text) from error
    except (IndexError, ValueError) as error:  # nothing was printed, or no JSON
        last = (errors.strip().splitlines() or [_end(process.returncode)])[-1]
        if 'ModuleNotFoundError' in last:
            raise MissingDependencyError(
                f'the transport is that of ROS 2, which is not here ({last}): source its setup, '
                'or use `make shell` in a checkout'
            ) from error
        raise PerceptionError(f'an end of the image path failed: {last}') from error
    finally:
        for one in (process, *(others if process.returncode != 0 else ())):
            if one.poll() is None:
                one.kill()
                one.communicate()
