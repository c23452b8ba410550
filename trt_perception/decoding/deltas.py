"""Boxes from prior boxes and the deltas that a network predicts for them.

A delta moves a prior's centre by shares of its extent and scales its extent exponentially:
"Faster R-CNN", Ren et al. 2015, equation 2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MAX_GROWTH = math.log(1000 / 16)
"""Greatest logarithm of a growth; published decoders limit it so, that exp does not overflow."""

Priors = NDArray[np.float32]
"""float32 [N, 4], centre x, centre y, width, height in network pixels."""


def boxes_from(
    priors: Priors, deltas: NDArray[np.float32], variances: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """Corners of the boxes.

    Args:
        priors: [N, 4].
        deltas: float32 [N, 4], dx dy dw dh.
        variances: what the deltas are multiplied by.

    Returns:
        float32 [N, 4], x1 y1 x2 y2 in network pixels; not finite where the deltas are not.
    """
    scaled = deltas * np.array(variances, np.float32)
    with np.errstate(invalid='ignore', over='ignore'):
        centres = priors[:, :2] + scaled[:, :2] * priors[:, 2:]
        half = priors[:, 2:] * np.exp(np.minimum(scaled[:, 2:], MAX_GROWTH)) / 2
        # The limit would make a finite box of an infinite delta.
        half[np.isinf(scaled[:, 2:])] = np.nan
        return np.concatenate([centres - half, centres + half], axis=1)


def clipped(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes [N, 4], x1 y1 x2 y2, cut to the network's input of `size` (width, height).

    torchvision suppresses boxes after this. Those that are not finite become NaN.
    """
    cut = np.clip(boxes, np.float32(0), np.array(size * 2, np.float32))
    return np.where(np.isfinite(boxes), cut, np.float32(np.nan))


def points_from(
    priors: Priors, deltas: NDArray[np.float32], variance: float
) -> NDArray[np.float32]:
    """Key points: centre + delta * variance * extent of the prior.

    Args:
        priors: [N, 4].
        deltas: float32 [N, 2k], x and y in turn.
        variance: what the deltas are multiplied by.

    Returns:
        float32 [N, 2k] in network pixels.
    """
    turns = deltas.shape[1] // 2
    with np.errstate(invalid='ignore', over='ignore'):
        moved: NDArray[np.float32] = np.tile(priors[:, :2], turns) + (
            deltas * np.float32(variance) * np.tile(priors[:, 2:], turns)
        )
    return moved
