"""Greedy suppression for any measure of overlap.

Boxes are numbered by falling score. A measure is a function that finds, among two sets of them,
the pairs that overlap too much; the greedy choice and its blocks are the same for all measures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
"""Boxes compared at once: memory stays within BLOCK**2 pairs."""

_FEW_PAIRS = 4 * BLOCK
"""Up to so many are gone through one by one; slices of an array pay only where each is long."""

Indices = NDArray[np.intp]
Pairs = Callable[[Indices, Indices], tuple[Indices, Indices]]
"""Of two sets of boxes, the pairs that overlap too much: one of the first, one of the second.

A pair of two different sets may be found in this order, in the other, or in both. Where both are
the same array, no box is paired with itself, and each pair is found in either order.
"""


def keep_greedily(pairs: Pairs, count: int, limit: int) -> Indices:
    """Keep each box unless it overlaps a kept one too much.

    Args:
        pairs: the measure.
        count: boxes, numbered by falling score.
        limit: at most so many are returned, the best ones.

    Returns:
        The kept boxes, rising.
    """
    kept: Indices = np.arange(0)
    for start in range(0, count, BLOCK):
        if len(kept) >= limit:
            break
        block: Indices = np.arange(start, min(start + BLOCK, count))
        block = without_overlaps(pairs, kept, block)
        kept = np.concatenate([kept, keep_of_block(pairs, block)])
    return kept[:limit]


def without_overlaps(pairs: Pairs, kept: Indices, block: Indices) -> Indices:
    """Those of `block`, which rises, that overlap none of `kept`."""
    for start in range(0, len(kept), BLOCK):
        if not len(block):
            break
        chunk = kept[start : start + BLOCK]
        first = block[0]
        alive = np.ones(block[-1] - first + 1, np.bool_)
        alive[pairs(chunk, block)[1] - first] = False
        alive[pairs(block, chunk)[0] - first] = False
        block = block[alive[block - first]]
    return block


def keep_of_block(pairs: Pairs, block: Indices) -> Indices:
    """Those of `block`, which rises, that no better kept one of it overlaps."""
    if not len(block):
        return block
    one, other = pairs(block, block)
    if not len(one):
        return block
    better, worse = np.minimum(one, other), np.maximum(one, other)
    by_better = better.argsort(kind='stable')
    first = int(block[0])
    alive = bytearray(b'\1') * (int(block[-1]) - first + 1)
    _go_by_rank(better[by_better] - first, worse[by_better] - first, alive)
    survivors: Indices = block[np.frombuffer(alive, np.bool_)[block - first]]
    return survivors


def _go_by_rank(better: Indices, worse: Indices, alive: bytearray) -> None:
    """Go through pairs, of which `better` rises, and let those that are alive end the worse."""
    if len(better) <= _FEW_PAIRS:
        for index, ended in zip(better.tolist(), worse.tolist(), strict=True):
            if alive[index]:
                alive[ended] = False
        return
    living = np.frombuffer(alive, np.bool_)
    begins = np.flatnonzero(np.diff(better, prepend=-1))
    ends = np.append(begins[1:], len(better))
    groups = (better[begins].tolist(), begins.tolist(), ends.tolist())
    for index, begin, end in zip(*groups, strict=True):
        if living[index]:
            living[worse[begin:end]] = False


def on_one_line(
    low: NDArray[np.float64], high: NDArray[np.float64], class_ids: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where intervals begin and end on a line on which the classes lie one after the other.

    Intervals of one class that meet, meet there; rounding may bring others to touch, but never
    parts any.
    """
    origin = low.min(initial=0.0)
    # Classes lie 2 apart and every interval within the first 1 of its class.
    line = 2.0 * class_ids
    span = high.max(initial=0.0) - origin or 1.0
    return (low - origin) / span + line, (high - origin) / span + line


def beginning_within(
    starts: NDArray[np.float64], stops: NDArray[np.float64], first: Indices, second: Indices
) -> tuple[Indices, Indices]:
    """Pairs of which the second one's interval begins within that of the first one.

    Two intervals that meet are found in this order or in the other. Where both sets are the same
    array, of two that begin together only one order is found, and none is paired with itself.
    """
    # The stable sort is no slower for so few, and is in the cache: it has just ordered the scores.
    by_start = second[starts[second].argsort(kind='stable')]
    sorted_starts = starts[by_start]
    if first is second:
        first = by_start
        low = np.arange(1, len(first) + 1)
    else:
        low = sorted_starts.searchsorted(starts[first], 'left')
    counts = sorted_starts.searchsorted(stops[first], 'right') - low
    ends = counts.cumsum()
    one = first.repeat(counts)
    skipped = (ends - counts - low).repeat(counts)
    return one, by_start[np.arange(len(one)) - skipped]
