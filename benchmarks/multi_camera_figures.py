"""What is read from the ages of several cameras' results: rows, and who moved by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ages = NDArray[np.float64]
"""Milliseconds from the stamps of images to the arrival of their results."""

ALL_WELL, CALM = 'all well', 'calm'
TARGET = 0.10
_DRAWS = 1000


@dataclass(frozen=True)
class Stretch:
    """Some seconds of the run.

    Attributes:
        name: `ALL_WELL`, `CALM`, or what the first camera does.
        seconds: how long it lasts.
        factor: of the first camera's rate.
        kind: what it sends, 'good' or 'garbage'.
        warm_up_s: seconds at its start that do not count.
    """

    name: str
    seconds: float
    factor: float = 1.0
    kind: str = 'good'
    warm_up_s: float = 1.0


@dataclass(frozen=True)
class Seen:
    """One camera in one stretch.

    Attributes:
        sent: images that count.
        at_s: when those with a result were taken, seconds since the stretch began to count.
        ages: of these.
    """

    sent: int
    at_s: NDArray[np.float64]
    ages: Ages


def seen_in(
    stretches: Sequence[Stretch],
    begin_s: float,
    stamps: Sequence[tuple[int, int]],
    arrivals: dict[int, int],
) -> list[Seen]:
    """One camera's run, stretch by stretch.

    Args:
        stretches: in their order.
        begin_s: of the first, in the clock of the stamps.
        stamps: number of the stretch and stamp in nanoseconds of each image.
        arrivals: moment of arrival, nanoseconds, by stamp.
    """
    found = []
    for number, stretch in enumerate(stretches):
        counts_ns = int((begin_s + stretch.warm_up_s) * 1e9)
        begin_s += stretch.seconds
        sent = [stamp for n, stamp in stamps if n == number and stamp >= counts_ns]
        answered = [stamp for stamp in sent if stamp in arrivals]
        at_s = np.array([(stamp - counts_ns) / 1e9 for stamp in answered], float)
        ages = np.array([(arrivals[stamp] - stamp) / 1e6 for stamp in answered], float)
        found.append(Seen(len(sent), at_s, ages))
    return found


def row(name: str, camera: str, stretches: Sequence[Stretch], seen: Sequence[Seen]) -> dict:
    """All stretches of a name together, for one camera."""
    chosen = [(s, one) for s, one in zip(stretches, seen, strict=True) if s.name == name]
    ages = np.concatenate([one.ages for _, one in chosen])
    seconds = sum(s.seconds - s.warm_up_s for s, _ in chosen)
    p50, p99 = np.percentile(ages, (50, 99)) if len(ages) else (float('nan'),) * 2
    return {
        'phase': name,
        'camera': camera,
        'sent': sum(one.sent for _, one in chosen),
        'results': len(ages),
        'results_hz': len(ages) / seconds,
        'p50_ms': float(p50),
        'p99_ms': float(p99),
        'max_ms': float(ages.max()) if len(ages) else float('nan'),
    }


@dataclass(frozen=True)
class Move:
    """What a disturbance did to the p99 of a camera that behaves, in milliseconds.

    Attributes:
        during, before, after: the p99; before and after are of the calm beside each disturbance.
        noise: share by which the p99 of as many undisturbed images lies above that of others,
            in one of twenty draws.
    """

    during: float
    before: float
    after: float
    noise: float

    @property
    def share(self) -> float:
        """How much higher it was than in the calm before and after, as a share."""
        return self.during / ((self.before + self.after) / 2) - 1

    @property
    def verdict(self) -> str:
        """'met', 'MISSED', or 'UNSURE' where it may be noise."""
        if self.share < TARGET:
            return 'met'
        return 'UNSURE' if self.share <= self.noise else 'MISSED'


def move(name: str, stretches: Sequence[Stretch], seen: Sequence[Seen]) -> Move:
    """What the stretches of a name did to one camera; a calm one lies on both sides of each."""
    numbers = [n for n, stretch in enumerate(stretches) if stretch.name == name]
    during = [seen[n].ages for n in numbers]
    before = [seen[n - 1].ages for n in numbers]
    after = [seen[n + 1].ages for n in numbers]
    length = stretches[numbers[0]].seconds - stretches[numbers[0]].warm_up_s
    return Move(
        _p99(during), _p99(before), _p99(after), _noise(stretches, seen, len(numbers), length)
    )


def _noise(
    stretches: Sequence[Stretch], seen: Sequence[Seen], count: int, length_s: float
) -> float:
    """See `Move.noise`: `count` blocks of `length_s` seconds against twice as many others."""
    blocks = []
    for stretch, one in zip(stretches, seen, strict=True):
        if stretch.name in (ALL_WELL, CALM):
            number = (one.at_s // length_s).astype(int)
            whole = max(1, int((stretch.seconds - stretch.warm_up_s) // length_s))
            blocks += [one.ages[number == n] for n in range(whole)]
    blocks = [block for block in blocks if len(block)]
    if len(blocks) < 3 * count:
        return float('nan')
    draws = np.random.default_rng(0)
    moves = []
    for _ in range(_DRAWS):
        order = draws.permutation(len(blocks))[: 3 * count]
        some, others = order[:count], order[count:]
        moves.append(_p99([blocks[i] for i in some]) / _p99([blocks[i] for i in others]) - 1)
    return float(np.percentile(moves, 95))


def _p99(blocks: Sequence[Ages]) -> float:
    ages = np.concatenate(blocks)
    return float(np.percentile(ages, 99)) if len(ages) else float('nan')
