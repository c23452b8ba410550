"""Small ONNX networks whose outputs are known, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def write_constant_network(
    path: Path,
    outputs: Mapping[str, NDArray[Any]],
    *,
    size: tuple[int, int] = (64, 48),
    metadata: Mapping[str, str] | None = None,
    batch: int | str = 'batch',
    input_type: int = TensorProto.FLOAT,
) -> Path:
    """A network that answers every image of the batch with the same arrays.

    Args:
        outputs: what one image is answered, without the batch axis.
        size: (width, height) of the input `images` [batch, 3, height, width].
    """
    width, height = size
    nodes = [
        helper.make_node('Cast', ['images'], ['as_float'], 'cast', to=TensorProto.FLOAT),
        helper.make_node('ReduceMax', ['as_float'], ['top'], 'top', axes=[1, 2, 3], keepdims=0),
        helper.make_node('Mul', ['top', 'zero'], ['nothing'], 'nothing'),
    ]
    weights = [numpy_helper.from_array(np.zeros(1, np.float32), 'zero')]
    values = []
    for name, value in outputs.items():
        weights.append(numpy_helper.from_array(np.asarray(value)[None], f'{name}_value'))
        shape = np.array([-1] + [1] * value.ndim, np.int64)
        weights.append(numpy_helper.from_array(shape, f'{name}_shape'))
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        nodes += [
            helper.make_node('Reshape', ['nothing', f'{name}_shape'], [f'{name}_r'], f'{name}_r'),
            helper.make_node('Cast', [f'{name}_r'], [f'{name}_c'], f'{name}_c', to=kind),
            helper.make_node('Add', [f'{name}_value', f'{name}_c'], [name], f'{name}_add'),
        ]
        values.append(helper.make_tensor_value_info(name, kind, [batch, *value.shape]))
    images = helper.make_tensor_value_info('images', input_type, [batch, 3, height, width])
    graph = helper.make_graph(nodes, 'constant', [images], values, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path


def yolov8_output(boxes_cxcywh: Any, scores: Any, anchors: int = 32) -> NDArray[np.float32]:
    """float32 [4 + classes, anchors] with the given objects first and silence behind.

    Args:
        boxes_cxcywh: [N, 4] in network pixels.
        scores: [N, classes].
    """
    boxes = np.asarray(boxes_cxcywh, np.float32).reshape(-1, 4)
    values = np.asarray(scores, np.float32).reshape(len(boxes), -1)
    output = np.zeros((4 + values.shape[1], anchors), np.float32)
    output[:4, : len(boxes)] = boxes.T
    output[4:, : len(boxes)] = values.T
    return output


def write_detector(
    folder: Path,
    boxes_cxcywh: Any,
    scores: Any,
    names: tuple[str, ...],
    *,
    size: tuple[int, int] = (64, 48),
    yaml: str = '',
) -> Path:
    """A YOLOv8-style detector that always finds the given objects; returns its YAML file."""
    metadata = {'names': str(list(names)), 'task': 'detect', 'family': 'yolov8'}
    output = yolov8_output(boxes_cxcywh, np.asarray(scores).reshape(-1, len(names)))
    write_constant_network(
        folder / 'detector.onnx', {'output0': output}, size=size, metadata=metadata
    )
    file = folder / 'detector.yaml'
    file.write_text(f'onnx: detector.onnx\n{yaml}')
    return file


def write_car_and_dog(folder: Path) -> Path:
    """A detector that always finds two objects in its input of 64x48; returns its YAML file.

    A car around (32, 24), 16x8, score 0.9; a dog around (8, 8), 4x4, score 0.5.
    """
    boxes = [(32, 24, 16, 8), (8, 8, 4, 4)]
    return write_detector(folder, boxes, [[0.9, 0.1], [0.0, 0.5]], ('car', 'dog'))


def write_scaling_detr(path: Path, box: Any, *, size: tuple[int, int] = (64, 48)) -> Path:
    """A network with `labels`, `boxes` and `scores` that finds one box, in shares x1 y1 x2 y2.

    It scales the box by its second input `orig_target_sizes`, int64 [batch, 2], width first. The
    image has no part in it.
    """
    width, height = size
    weights = {
        'box': np.asarray(box, np.float32).reshape(1, 1, 4),
        'axes': np.array([1], np.int64),
        'zero': np.zeros(1, np.float32),
        'one': np.array([0.9], np.float32),
        'kernel': np.ones((16, 3, 1, 1), np.float32),
    }
    nodes = [
        helper.make_node('Cast', ['orig_target_sizes'], ['sizes'], 'cast', to=TensorProto.FLOAT),
        helper.make_node('Concat', ['sizes', 'sizes'], ['corners'], 'both', axis=1),
        helper.make_node('Unsqueeze', ['corners', 'axes'], ['scaled'], 'row'),
        helper.make_node('Mul', ['scaled', 'box'], ['boxes'], 'scale'),
        helper.make_node('Conv', ['images', 'kernel'], ['seen'], 'look'),
        helper.make_node('ReduceMax', ['seen'], ['top'], 'top', axes=[2, 3], keepdims=0),
        helper.make_node('ReduceMax', ['top'], ['most'], 'most', axes=[1], keepdims=1),
        helper.make_node('Mul', ['most', 'zero'], ['nothing'], 'nothing'),
        helper.make_node('Add', ['nothing', 'one'], ['scores'], 'score'),
        helper.make_node('Cast', ['nothing'], ['labels'], 'label', to=TensorProto.INT64),
    ]
    value, real, whole = helper.make_tensor_value_info, TensorProto.FLOAT, TensorProto.INT64
    graph = helper.make_graph(
        nodes,
        'detr',
        [
            value('images', real, ['batch', 3, height, width]),
            value('orig_target_sizes', whole, ['batch', 2]),
        ],
        [
            value('labels', whole, ['batch', 1]),
            value('boxes', real, ['batch', 1, 4]),
            value('scores', real, ['batch', 1]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, str(path))
    return path
