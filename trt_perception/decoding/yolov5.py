"""YOLOv5 outputs: detection and instance segmentation.

The network returns [B, anchors, 5 + classes (+ coefficients)]: per anchor a box as centre x,
centre y, width, height in network pixels, the objectness in 0..1, one score in 0..1 per class,
and for instance segmentation one coefficient per prototype, beside prototypes
[B, coefficients, h, w]. The score of an object is objectness times class score. Older files hold
the raw maps of the heads besides, which are not looked at. YOLOv5u models are yolov8-style.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trt_perception.decoding.dense import DenseDecoder
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.grid import check_anchors, check_strides
from trt_perception.model_spec import ModelSpec
from trt_perception.tensor_spec import TensorSpec


class AnchorOptions(FamilyOptions, frozen=True):
    """Settings of families with anchor boxes.

    Attributes:
        strides: of the heads in pixels; only needed where they are none of the published ones.
    """

    strides: tuple[int, ...] | None = None


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> DenseDecoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    return anchor_boxes(spec, outputs, classes_scored=True)


def anchor_boxes(
    spec: ModelSpec, outputs: Sequence[TensorSpec], *, classes_scored: bool
) -> DenseDecoder:
    """The decoder of dense outputs with objectness and finished boxes; raises as `configure`."""
    strides = options_of(spec, AnchorOptions).strides
    check_strides(spec, strides)
    return DenseDecoder(
        spec,
        outputs,
        objectness=True,
        classes_scored=classes_scored,
        check_anchors=partial(check_anchors, spec, strides=strides),
    )
