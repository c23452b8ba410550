"""The name, type and shape of a network's input or output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: as in the ONNX file.
        dtype: numpy type.
        shape: extents; -1 where the network leaves one open.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
