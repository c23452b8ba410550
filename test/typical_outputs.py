"""The outputs that each family's exporters write, for any input size and class count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trt_perception.onnx_file import OnnxFile
from trt_perception.tensor_spec import TensorSpec


@dataclass(frozen=True)
class Typical:
    """One exporter's file.

    Attributes:
        family, task: what it is.
        outputs: shapes by name.
        metadata: besides the class names.
        told: whether it can be told from the file and its class names alone.
        kinds: numpy types of outputs that are not float32.
        operators: types of operators in the graph.
    """

    family: str
    task: str
    outputs: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    told: bool = True
    kinds: Mapping[str, str] = field(default_factory=dict)
    operators: frozenset[str] = frozenset()

    def file(self, size: tuple[int, int], *, open_batch: bool = False) -> OnnxFile:
        """As `read_onnx` describes it."""
        width, height = size
        batch = -1 if open_batch else 1
        outputs = tuple(
            TensorSpec(
                name,
                np.dtype(self.kinds.get(name, 'f4')),
                (batch, *shape[1:]) if shape[0] == 1 else shape,
            )
            for name, shape in self.outputs.items()
        )
        images = TensorSpec('images', np.dtype('f4'), (batch, 3, height, width))
        return OnnxFile(
            Path('net.onnx'), 17, (images,), outputs, dict(self.metadata), {}, self.operators
        )


def cells(size: tuple[int, int], *strides: int) -> int:
    """Of heads of these strides; the last row and column may be cut."""
    return sum(-(-size[0] // s) * -(-size[1] // s) for s in strides)


def typical(size: tuple[int, int], classes: int, points: int = 17) -> list[Typical]:
    """Files of every family for an input of `size` (width, height), each side a multiple of 32."""
    width, height = size
    a = cells(size, 8, 16, 32)
    h4, w4 = height // 4, width // 4
    ultralytics = {'description': 'Ultralytics YOLO11n model trained on coco.yaml', 'stride': '32'}
    end2end = {'description': 'Ultralytics YOLO26n model trained on coco.yaml', 'stride': '32'}
    detr = {'description': 'Ultralytics rtdetr-l model trained on coco.yaml', 'stride': '32'}
    proto = (1, 32, h4, w4)
    return [
        *(
            Typical('yolov8', task, outputs, metadata)
            for task, said, outputs in (
                ('detect', 'detect', {'output0': (1, 4 + classes, a)}),
                ('instance', 'segment', {'output0': (1, 36 + classes, a), 'output1': proto}),
                ('oriented', 'obb', {'output0': (1, 5 + classes, a)}),
                ('pose', 'pose', {'output0': (1, 4 + classes + 3 * points, a)}),
            )
            for metadata in ({}, {**ultralytics, 'task': said})
        ),
        Typical('yolov8', 'detect', {'output0': (1, 4 + classes, cells(size, 8, 16, 32, 64))}),
        *(
            Typical('yolov10', task, outputs, metadata, told=bool(metadata) or task != 'detect')
            for task, said, outputs in (
                ('detect', 'detect', {'output0': (1, 300, 6)}),
                ('instance', 'segment', {'output0': (1, 300, 38), 'output1': proto}),
                ('oriented', 'obb', {'output0': (1, 300, 7)}),
                ('pose', 'pose', {'output0': (1, 300, 6 + 3 * points)}),
            )
            for metadata in ({}, {**end2end, 'task': said})
        ),
        Typical('yolov5', 'detect', {'output0': (1, 3 * a, 5 + classes)}, {'stride': '32'}),
        Typical(
            'yolov5', 'instance',
            {'output0': (1, 3 * a, 37 + classes), 'output1': proto}, {'stride': '32'},
        ),
        Typical('yolov5', 'detect', {'output': (1, 3 * a, 5 + classes)}, told=False),
        Typical('yolov7', 'detect', {'output': (1, 3 * a, 5 + classes)}, told=False),
        Typical('yolox', 'detect', {'output': (1, a, 5 + classes)}),
        Typical('yolov6', 'detect', {'outputs': (1, a, 5 + classes)}),
        Typical(
            'efficient_nms', 'detect',
            {
                'num_dets': (1, 1), 'det_boxes': (1, 100, 4), 'det_scores': (1, 100),
                'det_classes': (1, 100),
            },
            kinds={'num_dets': 'i4', 'det_classes': 'i4'},
        ),
        Typical('rtdetr', 'detect', {'output0': (1, 300, 4 + classes)}, detr),
        Typical('rtdetr', 'detect', {'output0': (1, 300, 6)}, detr),
        Typical('rtdetr', 'detect', {'output0': (1, 300, 6)}, told=False),
        Typical(
            'detr', 'detect', {'labels': (1, 300), 'boxes': (1, 300, 4), 'scores': (1, 300)},
            kinds={'labels': 'i8'},
        ),
        Typical('rfdetr', 'detect', {'dets': (1, 300, 4), 'labels': (1, 300, classes + 1)}),
        Typical(
            'rfdetr', 'instance',
            {'dets': (1, 100, 4), 'labels': (1, 100, classes + 1), 'masks': (1, 100, h4, w4)},
        ),
        Typical('ssd', 'detect', {'scores': (1, 8732, classes + 1), 'boxes': (1, 8732, 4)}),
        Typical(
            'retinanet', 'detect',
            {
                'cls_logits': (1, 9 * cells(size, 8, 16, 32, 64, 128), classes),
                'bbox_regression': (1, 9 * cells(size, 8, 16, 32, 64, 128), 4),
            },
        ),
        Typical('semantic', 'semantic', {'out': (1, classes, height, width)}),
        Typical(
            'semantic', 'semantic',
            {'out': (1, classes, height, width), 'aux': (1, classes, height, width)},
        ),
        Typical('semantic', 'semantic', {'logits': (1, classes, h4, w4)}),
        Typical('semantic', 'semantic', {'ids': (1, height, width)}, kinds={'ids': 'u1'}),
        Typical('classify', 'classify', {'output': (1, classes)}),
        Typical('classify', 'classify', {'output0': (1, classes)}, ultralytics),
    ]  # fmt: skip


def faces(size: tuple[int, int]) -> list[Typical]:
    """Files of families that have one class or none, and so need no names."""
    a = cells(size, 8, 16, 32)
    scrfd = {
        f'{name}_{stride}': (2 * cells(size, stride), width)
        for name, width in (('score', 1), ('bbox', 4), ('kps', 10))
        for stride in (8, 16, 32)
    }
    return [
        Typical(
            'retinaface', 'face',
            {'loc': (1, 2 * a, 4), 'conf': (1, 2 * a, 2), 'landms': (1, 2 * a, 10)},
        ),
        Typical('scrfd', 'face', scrfd),
        Typical('scrfd', 'face', {n: s for n, s in scrfd.items() if 'kps' not in n}),
        Typical('arcface', 'embed', {'683': (1, 512)}, told=False),
    ]  # fmt: skip
