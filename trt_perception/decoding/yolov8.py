"""YOLOv8-style outputs, which YOLOv9 and YOLO11 share: boxes, masks, key points, oriented boxes.

The network returns [B, 4 + classes (+ extras), anchors]: per anchor a box as centre x, centre y,
width, height in network pixels, one score in 0..1 per class, and what the task adds. For instance
segmentation that is one coefficient per prototype, beside prototypes [B, coefficients, h, w]; for
poses x, y and mostly a confidence in 0..1 per key point; for oriented boxes the angle in radians,
which turns the x axis towards the y axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from trt_perception.decoding.dense import DenseDecoder
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.model_spec import ModelSpec
from trt_perception.tensor_spec import TensorSpec


class Yolov8Options(FamilyOptions, frozen=True):
    """Settings of the family.

    Attributes:
        key_point_shape: (key points, values), values 2 for x y or 3 for x y confidence; only
            needed where the output and the names of the key points leave it open.
        rotated_suppression: 'published' as Ultralytics runs it, in which suppressed boxes
            suppress others in their turn; 'greedy' keeps more of long rows of objects.
    """

    key_point_shape: tuple[int, int] | None = None
    rotated_suppression: Literal['published', 'greedy'] = 'published'


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> Yolov8Decoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    return Yolov8Decoder(spec, outputs)


class Yolov8Decoder(DenseDecoder):
    """Decodes detection, instance segmentation, pose and oriented box outputs."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Choose the outputs by rank and check them; raises as `configure` does."""
        options = options_of(spec, Yolov8Options)
        super().__init__(
            spec,
            outputs,
            key_point_shape=options.key_point_shape,
            chains=options.rotated_suppression == 'published',
        )
