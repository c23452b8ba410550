"""Networks for benchmarks: little arithmetic, realistic outputs, weights by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from bare_network import bare_network_ms
from onnx import TensorProto, helper, numpy_helper

CLASSES = 80


def write_light_detector(
    folder: Path,
    *,
    detections: int = 80,
    least_ms: float = 0.0,
    layers: int = 0,
    batch: int | str = 'batch',
) -> Path:
    """A YOLOv8-style detector [1, 84, 8400] at 640x640 that takes a few milliseconds.

    It looks at every pixel (strided convolutions), and then answers every image with the same
    `detections` well-separated objects, each surrounded by two weaker overlapping candidates
    that suppression has to remove.

    Args:
        folder: where its files go.
        detections: objects in every image.
        least_ms: milliseconds that it shall take on this machine with one thread, by trial.
        layers: more convolutions in its middle, of a millisecond or so each.
        batch: images at once; a name leaves that open.

    Returns:
        Its model YAML file.
    """
    if least_ms:
        return _slow_detector(folder, detections, least_ms, batch)
    rng = np.random.default_rng(7)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.1, (16, 3, 8, 8)).astype(np.float32), 'w1'),
        numpy_helper.from_array(rng.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32), 'w2'),
        numpy_helper.from_array(_candidates(detections)[None], 'candidates'),
        numpy_helper.from_array(np.zeros((1, 1, 1), np.float32), 'zero'),
        numpy_helper.from_array(np.array([-1, 1, 1], np.int64), 'shape'),
    ]
    node = helper.make_node
    nodes = [
        node('Conv', ['images', 'w1'], ['c1'], 'conv1', strides=[8, 8]),
        node('Relu', ['c1'], ['r1'], 'relu1'),
        node('Conv', ['r1', 'w2'], ['c2'], 'conv2', pads=[1, 1, 1, 1]),
        *(each for i in range(2, 2 + layers) for each in _layer(i)),
        node('ReduceMax', [f'c{2 + layers}'], ['top'], 'top', axes=[1, 2, 3], keepdims=0),
        node('Reshape', ['top', 'shape'], ['column'], 'column'),
        node('Mul', ['column', 'zero'], ['nothing'], 'nothing'),
        node('Add', ['candidates', 'nothing'], ['output0'], 'answer'),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        'light_detector',
        [value('images', TensorProto.FLOAT, [batch, 3, 640, 640])],
        [value('output0', TensorProto.FLOAT, [batch, 4 + CLASSES, 8400])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(
        model,
        {
            'names': str({i: f'class_{i}' for i in range(CLASSES)}),
            'task': 'detect',
            'family': 'yolov8',
            # Ultralytics asks for these.
            'stride': '32',
            'batch': '1',
            'imgsz': '[640, 640]',
        },
    )
    onnx.save(model, str(folder / 'light_detector.onnx'))
    path = folder / 'light_detector.yaml'
    path.write_text('onnx: light_detector.onnx\n')
    return path


def _layer(number: int) -> list[onnx.NodeProto]:
    """A convolution more. The Tanh keeps the numbers of hundreds of them finite."""
    before, bounded, after = f'c{number}', f't{number}', f'c{number + 1}'
    return [
        helper.make_node('Tanh', [before], [bounded], f'tanh{number}'),
        helper.make_node('Conv', [bounded, 'w2'], [after], f'conv{number + 1}', pads=[1, 1, 1, 1]),
    ]


def _slow_detector(folder: Path, detections: int, least_ms: float, batch: int | str) -> Path:
    layers = 0
    while True:
        model = write_light_detector(folder, detections=detections, layers=layers, batch=batch)
        took_ms = bare_network_ms(model, 1)
        if took_ms >= least_ms:
            return model
        each_ms = 0.5 if not layers else max(0.05, took_ms / layers)
        layers += max(1, round((least_ms - took_ms) / each_ms))


def _candidates(detections: int) -> np.ndarray:
    """float32 [84, 8400]: objects on a grid inside the part that a 16:9 frame covers."""
    output = np.zeros((4 + CLASSES, 8400), np.float32)
    columns = int(np.ceil(np.sqrt(detections * 16 / 9)))
    for index in range(detections):
        row, column = divmod(index, columns)
        centre = (20 + column * 600 / columns, 160 + row * 320 / columns * 16 / 9)
        for offset, score in ((0, 0.9), (1, 0.6), (2, 0.4)):
            anchor = index * 3 + offset
            output[:4, anchor] = (centre[0] + offset, centre[1] + offset, 24, 24)
            output[4 + index % CLASSES, anchor] = score - index * 1e-4
    return output
