"""YOLOX outputs: detection.

The network returns [B, anchors, 5 + classes], one anchor in each cell of the heads: four numbers
of a box, the objectness and the scores of the classes in 0..1. Unless the file was exported
decoded, the box is relative to its cell: its centre is (corner of the cell + first two numbers) *
stride, its extents are exp(last two numbers) * stride (Ge, Liu, Wang, Li, Sun, "YOLOX: Exceeding
YOLO Series in 2021", arXiv:2107.08430). Decoded, it is centre x, centre y, width, height in
network pixels. The input is BGR, 0 to 255, padded on the right and below.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.dense import DenseDecoder
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.grid import Grid, check_anchors, check_strides
from trt_perception.model_spec import ModelSpec
from trt_perception.tensor_spec import TensorSpec


class YoloxOptions(FamilyOptions, frozen=True):
    """Settings of the family.

    Attributes:
        decoded: whether the file holds the decoding of boxes, as exports with
            `--decode_in_inference` do.
        strides: of the heads in pixels.
    """

    decoded: bool = False
    strides: tuple[int, ...] = (8, 16, 32)


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> DenseDecoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    options = options_of(spec, YoloxOptions)
    check_strides(spec, options.strides)
    grid = Grid.of(spec.input.size, options.strides)
    return DenseDecoder(
        spec,
        outputs,
        objectness=True,
        box_decoding=None if options.decoded else partial(_decoded, grid),
        check_anchors=partial(check_anchors, spec, strides=options.strides, most_per_cell=1),
    )


def _decoded(
    grid: Grid, boxes: NDArray[np.float32], anchors: NDArray[np.intp]
) -> NDArray[np.float32]:
    """float32 [N, 4], numbers relative to cells -> centre x, centre y, width, height in pixels."""
    with np.errstate(over='ignore', invalid='ignore'):
        centres = boxes[:, :2] + grid.corners[anchors]
        in_cells: NDArray[np.float32] = np.concatenate([centres, np.exp(boxes[:, 2:])], axis=1)
        decoded: NDArray[np.float32] = in_cells * grid.strides[anchors]
    return decoded
