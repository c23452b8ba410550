"""Shapes with symbols, such as ('B', '4+C', 'A'), and what the symbols stand for in a tensor.

An extent's pattern is a sum of numbers and symbols, each symbol with a factor before it or none:
'5+C+3K'. A symbol stands for the same number wherever it occurs in one signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

Pattern = tuple[str, ...]
"""One text per axis."""
Bindings = Mapping[str, int]
"""What symbols stand for, as far as it is known."""

BATCH = 'B'
"""Stands for anything, not for one number."""

LEAST: Mapping[str, int] = {'H': 2, 'W': 2, 'D': 32}
"""Symbols that stand for at least so much; all others for 1 or more."""

_TERM = re.compile(r'(\d*)([A-Za-z]\w*)?')


def bound(pattern: Pattern, shape: Sequence[int], known: Bindings) -> Bindings | None:
    """What the symbols stand for if a tensor has this pattern; None if it has not.

    Args:
        pattern: one text per axis.
        shape: extents, -1 where left open: these fit anything and tell nothing.
        known: what the symbols stand for already.

    Returns:
        `known` and what can be told besides. Two unknown symbols in one extent stay unknown.
    """
    if len(pattern) != len(shape):
        return None
    found = dict(known)
    for text, extent in zip(pattern, shape, strict=True):
        if text == BATCH or extent == -1:
            continue
        told = _told(text, extent, found)
        if told is None:
            return None
        found.update(told)
    return found


def _told(text: str, extent: int, known: Bindings) -> dict[str, int] | None:
    """The symbol that follows from one extent, {} if none does, None if it does not fit."""
    rest = extent
    unknown = []
    for factor, symbol in terms(text):
        if symbol in known:
            rest -= factor * known[symbol]
        elif symbol:
            unknown.append((factor, symbol))
        else:
            rest -= factor
    least = sum(factor * LEAST.get(symbol, 1) for factor, symbol in unknown)
    if rest < least or (not unknown and rest):
        return None
    if len(unknown) != 1:
        return {}
    [(factor, symbol)] = unknown
    value, remainder = divmod(rest, factor)
    return None if remainder else {symbol: value}


@lru_cache(maxsize=1024)
def terms(text: str) -> tuple[tuple[int, str], ...]:
    """The terms of an extent's pattern: (factor, symbol), the symbol '' for a plain number.

    Raises:
        ValueError: it is no such pattern.
    """
    found = []
    for term in text.split('+'):
        match = _TERM.fullmatch(term)
        if not term or match is None:
            raise ValueError(f'{text!r} is no pattern of an extent')
        found.append((int(match[1] or 1), match[2] or ''))
    return tuple(found)
