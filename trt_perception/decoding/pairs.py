"""Candidates from (box, class) pairs: every class of a box that scores high enough is one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import Scores
from trt_perception.decoding.candidates import Candidates, strongest
from trt_perception.results import DecodeSettings

Corners = Callable[[NDArray[np.intp]], NDArray[np.float32]]
"""float32 [K, 4] x1 y1 x2 y2 in network pixels, of the boxes in these rows."""


def candidates_of(
    found: Scores,
    corners: Corners,
    settings: DecodeSettings,
    *,
    shift: int = 0,
    extras: Corners | None = None,
) -> Candidates:
    """The candidates of one image.

    Args:
        found: boxes (rows) and their classes (columns).
        corners: makes boxes of rows; only those that are needed.
        settings: the class filter.
        shift: column of the first class.
        extras: likewise, float32 [K, E].
    """
    class_ids = found.columns - shift
    kept: NDArray[np.bool_] = np.ones(len(class_ids), np.bool_)
    if settings.class_filter is not None:
        kept = np.isin(class_ids, list(settings.class_filter))
    wanted = np.flatnonzero(kept)
    chosen = strongest(wanted, found.values[wanted])
    rows = found.rows[chosen]
    more = np.zeros((len(rows), 0), np.float32) if extras is None else extras(rows)
    return Candidates(corners(rows), found.values[chosen], class_ids[chosen].astype(np.int64), more)
