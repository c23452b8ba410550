"""What the outputs of each family look like: the table by which a file's family is recognised.

Symbols of the patterns, see `shape_patterns`: B batch, C classes, A cells of the heads at the
input's size, K key points, M prototypes of masks, k objects, R cells of RetinaNet's levels,
N prior boxes, D numbers of an embedding, H and W a map's extents, P8, P16, P32 cells of one stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trt_perception.families import Task
from trt_perception.shape_patterns import Pattern

USUAL_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (4, 8, 16, 32, 64), (16, 32))
"""Strides of the heads of published YOLO models: what A may be."""

USUAL_OBJECTS = (100, 200, 300, 900, 1000)
"""How many objects networks without suppression keep: what k usually is."""

MOST: Mapping[str, int] = {'k': 1000, 'M': 256, 'K': 150}
"""Symbols that stand for at most so much."""

MOST_CLASSES = 2000
"""More classes have classification models only; LVIS, the largest set of boxes, has 1203."""


@dataclass(frozen=True)
class Output:
    """One output of a family.

    Attributes:
        shape: its pattern.
        names: those that exporters give it; empty if any name will do.
        kinds: letters of the numpy types it may have, such as 'f' and 'iu'.
    """

    shape: Pattern
    names: tuple[str, ...] = ()
    kinds: str = 'f'


@dataclass(frozen=True)
class Signature:
    """The outputs of a family's models for one task.

    Attributes:
        family, task: as in `families.FAMILIES`.
        outputs: all that belong to it.
        says: what the outputs are, for people; symbols in braces are filled in.
        named: only outputs of these names are meant; otherwise names are additional evidence.
        metadata: keys in the file's metadata that are additional evidence.
        beside: outputs of these shapes may be there too and are not looked at.
        class_counts: the only numbers of classes, where not any number will do.
        has_classes: False where a model has none.
    """

    family: str
    task: Task
    outputs: tuple[Output, ...]
    says: str
    named: bool = False
    metadata: tuple[str, ...] = ()
    beside: tuple[Pattern, ...] = ()
    class_counts: tuple[int, ...] = ()
    has_classes: bool = True


_PROTOTYPES = Output(('B', 'M', 'H', 'W'))
_RAW_HEADS: tuple[Pattern, ...] = (('B', '3', 'H', 'W', '5+C'), ('B', '3', 'H', 'W', '5+C+M'))

_YOLO = (
    Signature(
        'yolov8', 'detect', (Output(('B', '4+C', 'A')),),
        'for each of {A} cells a box and {C} class scores',
    ),
    Signature(
        'yolov8', 'instance', (Output(('B', '4+C+M', 'A')), _PROTOTYPES),
        'for each of {A} cells a box, {C} class scores and {M} mask coefficients; prototypes',
    ),
    Signature(
        'yolov8', 'pose', (Output(('B', '4+C+3K', 'A')),),
        'for each of {A} cells a box, {C} class scores and {K} key points with confidence',
    ),
    Signature(
        'yolov8', 'pose', (Output(('B', '4+C+2K', 'A')),),
        'for each of {A} cells a box, {C} class scores and {K} key points without confidence',
    ),
    Signature(
        'yolov8', 'oriented', (Output(('B', '5+C', 'A')),),
        'for each of {A} cells a box, {C} class scores and an angle',
    ),
    Signature(
        'yolov10', 'detect', (Output(('B', 'k', '6')),),
        '{k} objects: corners in pixels, score, class',
    ),
    Signature(
        'yolov10', 'instance', (Output(('B', 'k', '6+M')), _PROTOTYPES),
        '{k} objects: corners in pixels, score, class, {M} mask coefficients; prototypes',
    ),
    Signature(
        'yolov10', 'pose', (Output(('B', 'k', '6+3K')),),
        '{k} objects: corners in pixels, score, class, {K} key points with confidence',
    ),
    Signature(
        'yolov10', 'pose', (Output(('B', 'k', '6+2K')),),
        '{k} objects: corners in pixels, score, class, {K} key points without confidence',
    ),
    Signature(
        'yolov10', 'oriented', (Output(('B', 'k', '7')),),
        '{k} objects: centre and size in pixels, score, class, angle',
    ),
    Signature(
        'yolov5', 'detect', (Output(('B', '3A', '5+C')),),
        'for each of three anchors in {A} cells a box, objectness and {C} class scores; '
        'YOLOv5 files say `stride` in their metadata, YOLOv7 files do not',
        metadata=('stride',), beside=_RAW_HEADS,
    ),
    Signature(
        'yolov5', 'instance', (Output(('B', '3A', '5+C+M')), _PROTOTYPES),
        'for each of three anchors in {A} cells a box, objectness, {C} class scores and {M} mask '
        'coefficients; prototypes',
        metadata=('stride',), beside=_RAW_HEADS,
    ),
    Signature(
        'yolov7', 'detect', (Output(('B', '3A', '5+C')),),
        'as yolov5; both are decoded alike, except with a single class, where only the '
        'objectness of YOLOv7 counts',
        beside=_RAW_HEADS,
    ),
    Signature(
        'yolox', 'detect', (Output(('B', 'A', '5+C'), ('output',)),),
        'for each of {A} cells a box, objectness and {C} class scores',
    ),
    Signature(
        'yolov6', 'detect', (Output(('B', 'A', '5+C'), ('outputs',)),),
        'as yolox, but RGB in 0 to 1 and always decoded. State `family: yolox` with '
        '`options: {{decoded: true}}` and `input: {{color_order: rgb, scale: 0.00392157, '
        'pad: centre}}`',
    ),
    Signature(
        'efficient_nms', 'detect',
        (
            Output(('B', '1'), ('num_dets', 'num_detections'), 'iu'),
            Output(
                ('B', 'k', '4'),
                ('det_boxes', 'detection_boxes', 'nmsed_boxes', 'bboxes', 'boxes'),
            ),
            Output(
                ('B', 'k'), ('det_scores', 'detection_scores', 'nmsed_scores', 'scores'),
            ),
            Output(
                ('B', 'k'), ('det_classes', 'detection_classes', 'nmsed_classes', 'labels'), 'iuf',
            ),
        ),
        'the number of objects, their corners in pixels, scores and classes',
        named=True,
    ),
)  # fmt: skip

_TRANSFORMERS = (
    Signature(
        'rtdetr', 'detect', (Output(('B', 'k', '6')),),
        '{k} objects: centre and size as shares of the input, score, class',
    ),
    Signature(
        'rtdetr', 'detect', (Output(('B', 'k', '4+C')),),
        '{k} objects: centre and size as shares of the input and {C} class scores',
    ),
    Signature(
        'detr', 'detect',
        (
            Output(('B', 'k'), ('labels',), 'iuf'),
            Output(('B', 'k', '4'), ('boxes',)),
            Output(('B', 'k'), ('scores',)),
        ),
        '{k} objects: labels, corners in pixels of the source, scores',
        named=True,
    ),
    Signature(
        'rfdetr', 'detect',
        (
            Output(('B', 'k', '4'), ('dets', 'pred_boxes')),
            Output(('B', 'k', 'X'), ('labels', 'logits')),
        ),
        '{k} objects: centre and size as shares of the input, logits',
        named=True,
    ),
    Signature(
        'rfdetr', 'instance',
        (
            Output(('B', 'k', '4'), ('dets', 'pred_boxes')),
            Output(('B', 'k', 'X'), ('labels', 'logits')),
            Output(('B', 'k', 'H', 'W'), ('masks', 'pred_masks')),
        ),
        '{k} objects: centre and size as shares of the input, logits, masks',
        named=True,
    ),
)  # fmt: skip

_PRIORS = (
    Signature(
        'ssd', 'detect', (Output(('B', 'N', '4')), Output(('B', 'N', '1+C'))),
        'boxes and scores of {N} prior boxes, the background and {C} classes',
    ),
    Signature(
        'retinanet', 'detect', (Output(('B', '9R', '4')), Output(('B', '9R', 'C'))),
        'boxes and {C} class scores of nine anchors in each of {R} cells',
    ),
    Signature(
        'retinaface', 'face',
        (Output(('B', '2A', '4')), Output(('B', '2A', '2')), Output(('B', '2A', '10'))),
        'boxes, face or background, and five points of two prior boxes in each of {A} cells',
    ),
    *(
        Signature(
            'scrfd', 'face',
            tuple(
                Output((*batch, f'2{cells}', width))
                for width in widths
                for cells in ('P8', 'P16', 'P32')
            ),
            'for each stride the scores, distances to the sides'
            + (' and five points of two anchors' if '10' in widths else ' of two anchors'),
        )
        for batch in ((), ('B',))
        for widths in (('1', '4'), ('1', '4', '10'))
    ),
)  # fmt: skip

_MAPS = (
    Signature(
        'semantic', 'semantic',
        (Output(('B', 'C', 'H', 'W'), ('out', 'logits', 'output', 'main')),),
        'a map of scores for each of {C} classes',
    ),
    Signature(
        'semantic', 'semantic',
        (Output(('B', 'C', 'H', 'W'), ('out', 'logits', 'output', 'main')),),
        'a map of scores for each of {C} classes, and auxiliary maps, which are not looked at',
        named=True, beside=(('B', 'C', 'H2', 'W2'),),
    ),
    Signature(
        'semantic', 'semantic', (Output(('B', '1', 'H', 'W')),),
        'one map: a class against the background',
        class_counts=(1, 2),
    ),
    Signature(
        'semantic', 'semantic', (Output(('B', 'H', 'W'), kinds='iu'),), 'a map of class ids',
    ),
    Signature(
        'semantic', 'semantic', (Output(('B', '1', 'H', 'W'), kinds='iu'),), 'a map of class ids',
    ),
)  # fmt: skip

_WHOLE_IMAGES = (
    *(
        Signature(
            'classify', 'classify', (Output(('B', 'C', *rest)),), 'a score for each of {C} classes'
        )
        for rest in ((), ('1', '1'))
    ),
    *(
        Signature(
            'arcface', 'embed', (Output(('B', 'D', *rest)),),
            'an embedding of {D} numbers', has_classes=False,
        )
        for rest in ((), ('1', '1'))
    ),
)  # fmt: skip

SIGNATURES = (*_YOLO, *_TRANSFORMERS, *_PRIORS, *_MAPS, *_WHOLE_IMAGES)
"""Of every family. Families without a decoder here stand in it so that none is taken for them."""

NOT_SERVED = frozenset({'yolov6'})
"""Families that have no decoder of their own."""
