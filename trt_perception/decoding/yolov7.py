"""YOLOv7 outputs: dense ones as of YOLOv5, and end-to-end ones with suppression in the graph.

With a single class the objectness alone is the score, as YOLOv7 publishes it: the score of the
class is not trained then.
"""

from __future__ import annotations

from collections.abc import Sequence

from trt_perception.decoding import efficient_nms
from trt_perception.decoding.protocol import Decoder
from trt_perception.decoding.yolov5 import anchor_boxes
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.tensor_spec import TensorSpec

_ONE_LIST = 7
"""Numbers of an object in one list for all images: image, four of the box, class, score."""


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> Decoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    if efficient_nms.COUNT_NAMES & {output.name.lower() for output in outputs}:
        return efficient_nms.configure(spec, outputs)
    if [output.shape[1:] for output in outputs] == [(_ONE_LIST,)]:
        raise ModelOutputError(
            'the file is the end-to-end export for onnxruntime, which puts the objects of all '
            'images into one list. Export it with --end2end and without --max-wh for TensorRT, '
            'or with --grid alone for any backend'
        )
    return anchor_boxes(spec, outputs, classes_scored=len(spec.classes) > 1)
