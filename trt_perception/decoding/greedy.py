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

Indices = NDArray[np.intp]
Pairs = Callable[[Indices, Indices], tuple[Indices, Indices]]
"""Of two sets of boxes, the pairs that overlap too much: one of the first, one of the second.

A pair of two different sets may be found in this order, in the other, or in both.
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
    apart = one != other
    better, worse = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
    by_better = np.argsort(better, kind='stable')
    better, worse = better[by_better], worse[by_better]
    begins = np.flatnonzero(np.diff(better, prepend=-1))
    ends = np.append(begins[1:], len(better))
    first = block[0]
    alive = np.ones(block[-1] - first + 1, np.bool_)
    groups = (better[begins].tolist(), begins.tolist(), ends[: len(begins)].tolist())
    for index, begin, end in zip(*groups, strict=True):
        if alive[index - first]:
            alive[worse[begin:end] - first] = False
    survivors: Indices = block[alive[block - first]]
    return survivors


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

    Two intervals that meet are found in this order or in the other.
    """
    by_start = second[np.argsort(starts[second])]
    sorted_starts = starts[by_start]
    low = np.searchsorted(sorted_starts, starts[first], 'left')
    high = np.searchsorted(sorted_starts, stops[first], 'right')
    counts = high - low
    one = np.repeat(first, counts)
    skipped = np.repeat(np.cumsum(counts) - counts - low, counts)
    return one, by_start[np.arange(len(one)) - skipped]
