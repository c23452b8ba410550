"""YOLOv7 outputs: dense ones as of YOLOv5, and end-to-end ones with suppression in the graph.

With a single class the objectness alone is the score, as YOLOv7 publishes it: the score of the
class is not trained then.
"""

from __future__ import annotations

from collections.abc import Sequence

from trt_perception.decoding import efficient_nms
from trt_perception.decoding.protocol import Decoder
from trt_perception.decoding.yolov5 import anchor_boxes
from trt_perception.model_spec import ModelSpec
from trt_perception.tensor_spec import TensorSpec


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> Decoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    if efficient_nms.COUNT_NAMES & {output.name.lower() for output in outputs}:
        return efficient_nms.configure(spec, outputs)
    return anchor_boxes(spec, outputs, classes_scored=len(spec.classes) > 1)
