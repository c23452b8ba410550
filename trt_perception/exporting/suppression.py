"""Suppression in the graph, of operators that every backend has, so that few rows leave it.

Greedy suppression is a sequence: a box is kept unless one that was kept before overlaps it. Here
the same is found by repetition on the whole matrix of overlaps: boxes that no kept box suppresses
are kept in the next round (Zheng et al., "Enhancing Geometric Factors in Model Learning and
Inference for Object Detection and Instance Segmentation", arXiv:2005.03572, "Cluster-NMS"). After
as many rounds as the longest chain of boxes that suppress each other in turn, the result is that
of the greedy way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from trt_perception.errors import ExportError
from trt_perception.exporting.graph_editing import GraphEditing
from trt_perception.model_spec import ModelSpec
from trt_perception.onnx_file import OnnxFile
from trt_perception.tensor_spec import TensorSpec

FAMILY = 'yolov10'
"""The family that reads the result."""
OUTPUT = 'output0'
SERVED = ('yolov8', 'yolov5', 'yolov7', 'yolox')
"""Families whose detection models may be given suppression."""


@dataclass(frozen=True)
class SuppressionOptions:
    """What is put into the graph for good.

    Attributes:
        iou: of two boxes of one class that overlap more, the lower score goes; 0..1.
        candidates: at most so many anchors take part, those with the highest scores.
        rounds: repetitions; longer chains of boxes than this may keep one too many or too few.
    """

    iou: float = 0.6
    candidates: int = 300
    rounds: int = 12


def add_suppression(
    model: onnx.ModelProto, file: OnnxFile, spec: ModelSpec, options: SuppressionOptions
) -> None:
    """Let a detection model return [B, objects, 6]: x1 y1 x2 y2 in pixels, score, class.

    Objects come by falling score; what is suppressed has score 0. An anchor gives one object at
    most, of its best class.

    Args:
        model: is changed in place.
        file: its interface.
        spec: what it is.
        options: of the suppression.

    Raises:
        ExportError: the model is not of a family and task that this is made for, or leaves the
            number of its anchors open.
    """
    predictions = _predictions(file, spec)
    editing = GraphEditing(model, '/suppression')
    tensor, (_, rows, anchors) = predictions.name, predictions.shape
    before = 4
    if spec.family != 'yolov8':
        tensor, rows, anchors, before = editing.transposed(tensor), anchors, rows, 5
    boxes = editing.slice(tensor, 0, 4, 1)
    scores = _scores(editing, tensor, spec, before, rows)
    count = min(options.candidates, anchors)
    best, classes, chosen = _best(editing, scores, boxes, count, len(spec.classes))
    corners = _corners(editing, chosen)
    suppresses = _suppresses(editing, corners, classes, count, options.iou)
    kept = _kept(editing, suppresses, count, options.rounds)
    final = editing.add('Mul', best, kept)
    joined = editing.add('Concat', *corners, final, classes, axis=1)
    batch = 'batch' if predictions.shape[0] < 0 else predictions.shape[0]
    editing.finish(OUTPUT, editing.transposed(joined), TensorProto.FLOAT, (batch, count, 6))


def _predictions(file: OnnxFile, spec: ModelSpec) -> TensorSpec:
    raw = spec.family == 'yolox' and not spec.options.get('decoded')
    if spec.family not in SERVED or spec.task != 'detect' or raw:
        what = 'a YOLOX file whose boxes are not decoded' if raw else f'{spec.family} {spec.task}'
        raise ExportError(
            f'{file.path}: --suppression is for detection models of {", ".join(SERVED)} with '
            f'decoded boxes; this is {what}'
        )
    dense = (o for o in file.outputs if len(o.shape) == 3 and o.dtype.kind == 'f')
    found = next(dense, None)
    if found is None or min(found.shape[1:]) < 1:
        raise ExportError(
            f'{file.path}: --suppression needs to know how many anchors there are, but the file '
            'leaves its output open. Export it with a fixed input size'
        )
    return found


def _scores(editing: GraphEditing, tensor: str, spec: ModelSpec, before: int, rows: int) -> str:
    """[B, classes, anchors]: class scores, times the objectness where there is one."""
    scores = editing.slice(tensor, before, rows, 1)
    if before == 4:
        return scores
    objectness = editing.slice(tensor, 4, 5, 1)
    if spec.family == 'yolov7' and len(spec.classes) == 1:
        return objectness
    return editing.add('Mul', scores, objectness)


def _best(
    editing: GraphEditing, scores: str, boxes: str, count: int, classes: int
) -> tuple[str, str, str]:
    """Of the anchors with the highest scores: score [B, 1, k], class [B, 1, k], box [B, 4, k]."""
    highest = editing.maximum(scores, 1)
    best = editing.add(
        'TopK', highest, editing.constant(np.array([count], np.int64)),
        outputs=['/suppression/best', '/suppression/anchors'], axis=2, largest=1, sorted=1,
    )  # fmt: skip

    def gathered(tensor: str, rows: int) -> str:
        shape = editing.constant(np.array([1, rows, 1], np.int64))
        indices = editing.add('Expand', '/suppression/anchors', shape)
        return editing.add('GatherElements', tensor, indices, axis=2)

    ids = editing.add('ArgMax', gathered(scores, classes), axis=1, keepdims=1)
    return best, editing.add('Cast', ids, to=TensorProto.FLOAT), gathered(boxes, 4)


def _corners(editing: GraphEditing, boxes: str) -> tuple[str, str, str, str]:
    """x1, y1, x2, y2, [B, 1, k] each, of boxes [B, 4, k] by centre and size."""
    x, y, width, height = (editing.slice(boxes, i, i + 1, 1) for i in range(4))
    half = editing.constant(0.5)
    right, below = editing.add('Mul', width, half), editing.add('Mul', height, half)
    return (
        editing.add('Sub', x, right),
        editing.add('Sub', y, below),
        editing.add('Add', x, right),
        editing.add('Add', y, below),
    )


def _suppresses(
    editing: GraphEditing, corners: tuple[str, str, str, str], classes: str, count: int, iou: float
) -> str:
    """float32 [B, k, k]: 1 where the box of the row, of a higher score, overlaps the column's."""
    x1, y1, x2, y2 = corners
    extents = []
    for low, high in ((x1, x2), (y1, y2)):
        end = editing.add('Min', editing.transposed(high), high)
        begin = editing.add('Max', editing.transposed(low), low)
        extents.append(editing.add('Relu', editing.add('Sub', end, begin)))
    shared = editing.add('Mul', *extents)
    area = editing.add('Mul', editing.add('Sub', x2, x1), editing.add('Sub', y2, y1))
    both = editing.add('Add', editing.transposed(area), area)
    limit = editing.add('Mul', editing.add('Sub', both, shared), editing.constant(float(iou)))
    apart = editing.add('Abs', editing.add('Sub', editing.transposed(classes), classes))
    same = editing.add('Less', apart, editing.constant(0.5))
    overlap = editing.add('And', editing.add('Greater', shared, limit), same)
    higher = editing.constant(np.triu(np.ones((1, count, count), np.bool_), 1))
    return editing.add('Cast', editing.add('And', overlap, higher), to=TensorProto.FLOAT)


def _kept(editing: GraphEditing, suppresses: str, count: int, rounds: int) -> str:
    """float32 [B, 1, k]: 1 for the boxes that stay. A product of matrices would look like a layer
    with weights to those who choose precisions."""
    kept = editing.constant(np.ones((1, 1, count), np.float32))
    for _ in range(rounds):
        by_kept = editing.add('Mul', suppresses, editing.transposed(kept))
        alive = editing.add('Less', editing.maximum(by_kept, 1), editing.constant(0.5))
        kept = editing.add('Cast', alive, to=TensorProto.FLOAT)
    return kept
