"""The parameters by which kernels know how source pixels lie in the cells of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from trt_perception.kernels.launching import fill, struct
from trt_perception.preprocessing.letterbox import Letterbox

_AXIS = struct(
    {
        **dict.fromkeys(('scale', 'offset', 'stride'), np.float64),
        **dict.fromkeys(('pixels', 'cells'), np.int32),
    }
)
GRID = struct({'places': np.uint64, 'x': _AXIS, 'y': _AXIS})

PLACE_BYTES = 16
"""Of one pixel along one axis."""


def places_bytes(letterbox: Letterbox) -> int:
    """Device memory for the places of an image's columns and rows."""
    return sum(letterbox.source) * PLACE_BYTES


def fill_grid(record: Any, letterbox: Letterbox, cells: tuple[int, int], places: int) -> None:
    """Describe a grid of (width, height) `cells` over the network's input.

    Args:
        record: of type `GRID`.
        letterbox: how the source image was placed there.
        cells: columns and rows.
        places: address of `places_bytes`.
    """
    record['places'] = places
    for axis, name in enumerate(('x', 'y')):
        fill(
            record[name],
            {
                'scale': letterbox.scale[axis],
                'offset': letterbox.offset[axis],
                'stride': letterbox.network[axis] / cells[axis],
                'pixels': letterbox.source[axis],
                'cells': cells[axis],
            },
        )
