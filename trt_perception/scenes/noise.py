"""Soft random patterns that repeat without a seam."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 256
"""Width and height of a pattern in samples."""


def soft_noise(rng: np.random.Generator, octaves: tuple[int, ...]) -> NDArray[np.float32]:
    """Pattern [SIDE, SIDE] in 0 to 1, about 0.5, that repeats; one coarse grid per octave."""
    total = np.zeros((SIDE, SIDE), dtype=np.float32)
    weight, weights = 1.0, 0.0
    for cells in octaves:
        grid = rng.random((cells, cells), dtype=np.float32)
        grid = np.pad(grid, 2, mode='wrap')
        step = SIDE // cells
        large = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * large[2 * step : 2 * step + SIDE, 2 * step : 2 * step + SIDE]
        weights += weight
        weight *= 0.55
    total /= weights
    spread = max(float(total.std()), 1e-6)
    return np.asarray(np.clip(0.5 + 0.2 * (total - total.mean()) / spread, 0, 1), dtype=np.float32)


def sample(pattern: NDArray[np.float32], u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.float32]:
    """Read the pattern at positions in samples, repeating it in both directions."""
    across, down = _wrapped(u), _wrapped(v)
    found = cv2.remap(pattern, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(found, dtype=np.float32)


def _wrapped(values: NDArray[Any]) -> NDArray[np.float32]:
    turns = np.floor(values * np.float32(1.0 / SIDE))
    return np.asarray(values - turns * np.float32(SIDE), dtype=np.float32)
