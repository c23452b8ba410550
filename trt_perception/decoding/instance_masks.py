"""Instance masks from prototypes and coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.interpolation import Part, axes_of
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import InstanceMask

_ABSENT = np.float32(-1e30)
"""A logit that claims no pixel, nor any next to it."""

_STRIP = 32768
"""Pixels interpolated at once; their logits stay in the processor's cache."""


def instance_masks(
    prototypes: NDArray[Any],
    coefficients: NDArray[np.float32],
    boxes: NDArray[np.float32],
    letterbox: Letterbox,
) -> list[InstanceMask]:
    """The mask of each object in source pixels, cut to its box.

    A pixel belongs to the object if its centre lies in the box and the logit there is greater
    than 0, that is a probability above one half. The logit at a pixel's centre is interpolated
    bilinearly from coefficients @ prototypes, straight from the prototypes' grid to the source,
    so the padding and its rounding shift nothing. Only the cells and pixels of the box are
    computed.

    Args:
        prototypes: float [C, h, w], covering the network's input.
        coefficients: float32 [N, C], finite.
        boxes: float32 [N, 4], x1 y1 x2 y2 in network pixels.
        letterbox: how the source image was placed in the network's input.

    Returns:
        N masks; `bits` is [0, 0] where the box holds no pixel's centre.
    """
    x_axis, y_axis = axes_of(letterbox, (prototypes.shape[2], prototypes.shape[1]))
    masks = []
    # The pixels whose centres lie in a box: from the first to one past the last.
    limits = np.ceil(letterbox.to_source(boxes) - 0.5).astype(np.intp).tolist()
    for (x0, y0, x1, y1), factors in zip(limits, coefficients, strict=True):
        if x1 <= x0 or y1 <= y0:
            masks.append(InstanceMask(x0, y0, np.zeros((0, 0), np.bool_)))
            continue
        columns, rows = x_axis.part(x0, x1), y_axis.part(y0, y1)
        cells = prototypes[:, rows.cells, columns.cells].astype(np.float32, copy=False)
        masks.append(InstanceMask(x0, y0, _positive(_combined(factors, cells), columns, rows)))
    return masks


def whole_masks(
    logits: NDArray[Any], boxes: NDArray[np.float32], letterbox: Letterbox
) -> list[InstanceMask]:
    """Likewise, where the network returns each object's mask as a whole.

    Args:
        logits: float [N, h, w], covering the network's input; one mask for each box.
        boxes, letterbox: see `instance_masks`.
    """
    one = np.ones((1, 1), np.float32)
    return [
        instance_masks(mask[None], one, box[None], letterbox)[0]
        for mask, box in zip(logits, boxes, strict=True)
    ]


def _combined(factors: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [h, w], the sum of `cells` [C, h, w] times `factors` [C].

    Sums that are not finite become negative, so that they claim no pixel.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        # Not a BLAS product: waking its threads for some microseconds of work costs far more,
        # and it takes processors from others.
        logits: NDArray[np.float32] = np.einsum('c,cij->ij', factors, cells)
    sound = np.isfinite(logits)
    return logits if sound.all() else np.where(sound, logits, _ABSENT)


def _positive(logits: NDArray[np.float32], columns: Part, rows: Part) -> NDArray[np.bool_]:
    """Where the interpolated logits [cells, cells] are greater than 0, bool [pixels, pixels]."""
    left, right = logits.take(columns.lower, axis=1), logits.take(columns.upper, axis=1)
    wide = left + (right - left) * columns.fraction
    # Between two rows the logit is upper + fraction * rise; it is positive where fraction * rise
    # is greater than -upper.
    threshold, rise = -wide, np.diff(wide, axis=0, append=wide[-1:])
    bits = np.empty((len(rows.lower), wide.shape[1]), np.bool_)
    height = max(_STRIP // wide.shape[1], 1)
    for start in range(0, len(bits), height):
        strip = slice(start, start + height)
        climbed = rise.take(rows.lower[strip], axis=0)
        climbed *= rows.fraction[strip, None]
        np.greater(climbed, threshold.take(rows.lower[strip], axis=0), out=bits[strip])
    return bits
