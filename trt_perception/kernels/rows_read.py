"""Which rows of a camera's image the letterbox reads; the others need not cross the bus.

An image of 1920x1080 in an input of 640 columns is read at every third row: bilinear
interpolation takes two rows for one, and with an odd factor the second one has no weight.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from trt_perception.gpu.host_copy import RowSet
from trt_perception.preprocessing.letterbox import Letterbox

_ONE = 2048
"""Weight of a row that counts alone, see `letterbox.cu`."""

_WORTH_IT = 2 / 3
"""Share of the rows up to which leaving out the others pays."""


@lru_cache(maxsize=256)
def rows_read(letterbox: Letterbox) -> tuple[RowSet, ...]:
    """What the kernel reads of an image whose rows do not depend on each other.

    Returns:
        Nothing where it reads most rows, or not in equal steps.
    """
    source, resized = letterbox.source[1], letterbox.resized[1]
    period, rest = divmod(source, resized)
    if rest or period < 2:
        return ()
    top = letterbox.offset[1]
    outcome = np.arange(max(0, -top), min(resized, letterbox.network[1] - top))
    # As `taps_of` of the kernel computes it.
    position = ((outcome + 0.5) * (1.0 / letterbox.scale[1]) - 0.5).astype(np.float32)
    lower = np.floor(position)
    fraction = position - lower
    taps = []
    for row, weight in ((lower, 1 - fraction), (lower + 1, fraction)):
        counts = np.rint(weight * np.float32(_ONE)) > 0
        rows = np.clip(row.astype(np.int64), 0, source - 1)
        taps.append((rows - outcome * period)[counts])
    steps = np.unique(np.concatenate(taps))
    if len(steps) > _WORTH_IT * period or not ((steps >= 0) & (steps < period)).all():
        return ()
    firsts = (int(outcome[0] * period + step) for step in steps)
    return tuple(RowSet(first, period, len(outcome)) for first in firsts)
