"""Decodes outputs whose objects are chosen already: no suppression is left to do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import Candidates
from trt_perception.errors import ModelOutputError
from trt_perception.results import DecodeSettings


def chosen_candidates(
    boxes: NDArray[Any],
    scores: NDArray[Any],
    class_ids: NDArray[Any],
    extras: NDArray[Any],
    settings: DecodeSettings,
    classes: int,
) -> Candidates:
    """Those that score high enough and are of a wanted class.

    Args:
        boxes: [N, 4].
        scores: [N], in 0..1.
        class_ids: [N], of any type, rounded; negative ones and NaN are left out.
        extras: [N, E].
        settings: score threshold and class filter.
        classes: how many the model has.

    Raises:
        ModelOutputError: an object is of a class beyond these, so that the list is wrong.
    """
    scores = scores.astype(np.float32)
    rows = np.flatnonzero((scores >= settings.score) & (scores < np.inf))
    numbers = np.rint(class_ids[rows])
    # NaN compares false.
    known = (numbers >= 0) & (numbers < np.inf)
    rows, ids = rows[known], numbers[known].astype(np.int64)
    highest = int(ids.max(initial=-1))
    if highest >= classes:
        raise ModelOutputError(
            f'the network found an object of class {highest}, but the YAML lists {classes} '
            f'classes, 0 to {classes - 1}. List the names of all classes under `classes`'
        )
    if settings.class_filter is not None:
        wanted = np.isin(ids, list(settings.class_filter))
        rows, ids = rows[wanted], ids[wanted]
    return Candidates(
        boxes[rows].astype(np.float32),
        np.minimum(scores[rows], 1.0),
        ids,
        extras[rows].astype(np.float32),
    )
