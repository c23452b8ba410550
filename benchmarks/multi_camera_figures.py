"""What is read from the ages of several cameras' results: rows, and who moved by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

Ages = NDArray[np.float64]
"""Milliseconds from the stamps of images to the arrival of their results."""

ALL_WELL, CALM = 'all well', 'calm'
TARGET = 0.10
_FEWEST_CHOICES = 9
"""Of calm stretches for one whose p99 they are compared with; fewer tell no noise."""

_MOST_CHOICES = 3**6


@dataclass(frozen=True)
class Stretch:
    """Some seconds of the run.

    Attributes:
        name: `ALL_WELL`, `CALM`, or what the first camera does.
        seconds: how long it lasts.
        factor: of the first camera's rate.
        kind: what it sends, 'good' or 'garbage'.
        warm_up_s: seconds at its start that do not count.
        round: the cameras begin all stretches of a round with the same phases; 0 is before.
        extra: whether the first camera's additional images are sent where nobody reads them.
    """

    name: str
    seconds: float
    factor: float = 1.0
    kind: str = 'good'
    warm_up_s: float = 1.0
    round: int = 0
    extra: bool = False


@dataclass(frozen=True)
class Seen:
    """One camera in one stretch.

    Attributes:
        sent: images that count.
        ages: of those with a result.
    """

    sent: int
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
        ages = np.array([(arrivals[stamp] - stamp) / 1e6 for stamp in answered], float)
        found.append(Seen(len(sent), ages))
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
        during, before, after: the p99; before and after are of the nearest calm of each round.
        noise: share by which the p99 of one calm stretch of each round lies above that of the
            others, in one of twenty choices.
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
    """What the stretches of a name did to one camera; each has calm before and after it."""
    numbers = [n for n, stretch in enumerate(stretches) if stretch.name == name]
    calm = [n for n, stretch in enumerate(stretches) if stretch.name == CALM]
    before = [max(c for c in calm if c < n) for n in numbers]
    after = [min(c for c in calm if c > n) for n in numbers]
    during, *calms = (_p99([seen[n].ages for n in part]) for part in (numbers, before, after))
    return Move(during, *calms, _noise(stretches, seen))


def _noise(stretches: Sequence[Stretch], seen: Sequence[Seen]) -> float:
    """See `Move.noise`."""
    rounds: dict[int, list[Ages]] = {}
    for stretch, one in zip(stretches, seen, strict=True):
        if stretch.name == CALM and len(one.ages):
            rounds.setdefault(stretch.round, []).append(one.ages)
    choices = [*islice(product(*(range(len(calms)) for calms in rounds.values())), _MOST_CHOICES)]
    if len(choices) < _FEWEST_CHOICES or min(map(len, rounds.values())) < 2:
        return float('nan')
    moves = []
    for choice in choices:
        pairs = [*zip(choice, rounds.values(), strict=True)]
        others = [ages for n, calms in pairs for i, ages in enumerate(calms) if i != n]
        moves.append(_p99([calms[n] for n, calms in pairs]) / _p99(others) - 1)
    return float(np.percentile(moves, 95))


def _p99(blocks: Sequence[Ages]) -> float:
    ages = np.concatenate(blocks)
    return float(np.percentile(ages, 99)) if len(ages) else float('nan')
