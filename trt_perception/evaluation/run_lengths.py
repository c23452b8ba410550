"""Masks as COCO run lengths, by faster-coco-eval, and that library itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import MissingDependencyError
from trt_perception.results import InstanceMask


def faster_coco_eval() -> Any:
    """The library that computes average precision.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import faster_coco_eval
        import faster_coco_eval.core.mask
    except ImportError as error:
        raise MissingDependencyError(
            f'average precision needs faster-coco-eval ({error}). It is in the extra `evaluate`: '
            'python3 -m pip install "trt_perception[evaluate]"'
        ) from error
    return faster_coco_eval


def encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Run lengths of a bool [H, W] mask.

    Raises:
        MissingDependencyError: faster-coco-eval is not installed.
    """
    coded = faster_coco_eval().core.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': [int(extent) for extent in mask.shape], 'counts': coded['counts']}


def placed(mask: InstanceMask, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask in its whole image, bool [H, W], of `size` (width, height)."""
    whole = np.zeros((size[1], size[0]), np.bool_)
    rows, columns = mask.bits.shape
    whole[mask.y : mask.y + rows, mask.x : mask.x + columns] = mask.bits
    return whole


def from_annotation(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Run lengths of what a COCO annotation holds: polygons, or run lengths of either form.

    Args:
        segmentation: as in the file.
        size: (width, height) of the image.

    Raises:
        ValueError: it is none of these, or does not fit the image.
        MissingDependencyError: faster-coco-eval is not installed.
    """
    library = faster_coco_eval().core.mask
    width, height = size
    if isinstance(segmentation, list):
        if not segmentation or any(
            not isinstance(p, list) or len(p) < 6 or len(p) % 2 for p in segmentation
        ):
            raise ValueError('polygons need at least three points of x and y')
        parts = [[float(value) for value in polygon] for polygon in segmentation]
        return dict(library.merge(library.frPyObjects(parts, height, width)))
    if not isinstance(segmentation, dict) or 'counts' not in segmentation:
        raise ValueError('segmentation is neither polygons nor run lengths')
    if list(segmentation.get('size', ())) != [height, width]:
        raise ValueError(
            f'run lengths are of size {segmentation.get("size")}, the image has {[height, width]}'
        )
    counts = segmentation['counts']
    if isinstance(counts, list):
        if sum(counts) != height * width or min(counts, default=0) < 0:
            raise ValueError(f'run lengths add up to {sum(counts)}, not {height * width}')
        return dict(library.frPyObjects(segmentation, height, width))
    return {'size': [height, width], 'counts': counts}
