"""ONNX networks that find pure red, green and blue in a picture: what they answer is known.

They look at the pixels, so that a test can draw a scene and check coordinates through the whole
node. Class 0 is red, 1 green, 2 blue; a pixel belongs to a class when its channel exceeds both
others by more than half.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = (320, 192)
"""(width, height) of the networks' input."""

NAMES = ('red', 'green', 'blue')
BGR = ((0, 0, 255), (0, 255, 0), (255, 0, 0))
"""Colours to draw with, in the order of `NAMES`."""

_ANCHORS = 16
_FAR = 1e4


class _Graph:
    """Collects the nodes and constants of a network."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value) -> str:
        name = f'constant{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = '', **attributes) -> str:
        output = output or f'value{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def save(self, path: Path, task: str, names: tuple[str, ...], outputs: dict) -> None:
        width, height = SIZE
        kind = TensorProto.FLOAT
        images = helper.make_tensor_value_info('images', kind, ['batch', 3, height, width])
        values = [
            helper.make_tensor_value_info(name, kind, ['batch', *shape])
            for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, 'colours', [images], values, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
        family = 'semantic' if task == 'semantic' else 'yolov8'
        helper.set_model_props(model, {'names': str(list(names)), 'task': task, 'family': family})
        onnx.save(model, str(path))


def _excess(graph: _Graph) -> str:
    """[batch, 3, H, W]: by how much each channel exceeds the larger of the others, -1..1."""
    channels = [
        graph.add('Gather', 'images', graph.constant(np.array([i], np.int64)), axis=1)
        for i in range(3)
    ]
    return graph.add(
        'Concat',
        *[
            graph.add(
                'Sub', channels[i], graph.add('Max', channels[(i + 1) % 3], channels[(i + 2) % 3])
            )
            for i in range(3)
        ],
        axis=1,
    )


def _inside(graph: _Graph) -> str:
    """[batch, 3, H, W]: 1 where a pixel belongs to the class, else 0."""
    more = graph.add('Greater', _excess(graph), graph.constant(np.float32(0.5)))
    return graph.add('Cast', more, to=TensorProto.FLOAT)


def _extent(graph: _Graph, inside: str, axis: int) -> tuple[str, str]:
    """[batch, 1, 3] each: the middle and the size along an axis of the image, in pixels."""
    along = graph.add('ReduceMax', inside, axes=[5 - axis], keepdims=0)
    count = SIZE[0] if axis == 3 else SIZE[1]
    first = graph.constant(np.arange(count, dtype=np.float32) - np.float32(_FAR))
    last = graph.constant(np.arange(1, count + 1, dtype=np.float32))
    far = graph.constant(np.float32(_FAR))
    low = graph.add('ReduceMin', graph.add('Mul', along, first), axes=[2], keepdims=0)
    low = graph.add('Add', low, far)
    high = graph.add('ReduceMax', graph.add('Mul', along, last), axes=[2], keepdims=0)
    middle = graph.add('Mul', graph.add('Add', low, high), graph.constant(np.float32(0.5)))
    size = graph.add('Max', graph.add('Sub', high, low), graph.constant(np.float32(0)))
    one = graph.constant(np.array([1], np.int64))
    return graph.add('Unsqueeze', middle, one), graph.add('Unsqueeze', size, one)


def _rows(graph: _Graph, inside: str) -> list[str]:
    """Boxes [batch, 4, 3] and scores [batch, 3, 3] of one object for each class that is seen."""
    x, width = _extent(graph, inside, 3)
    y, height = _extent(graph, inside, 2)
    seen = graph.add('ReduceMax', inside, axes=[2, 3], keepdims=0)
    column = graph.add('Unsqueeze', seen, graph.constant(np.array([2], np.int64)))
    scores = graph.add('Mul', column, graph.constant(np.diag([0.9, 0.8, 0.7]).astype(np.float32)))
    return [x, y, width, height, scores]


def _padded(graph: _Graph, rows: list[str]) -> None:
    """`output0`: the rows, with anchors that see nothing behind the three."""
    joined = graph.add('Concat', *rows, axis=1)
    pads = graph.constant(np.array([0, 0, 0, 0, 0, _ANCHORS - 3], np.int64))
    graph.add('Pad', joined, pads, output='output0')


def _yaml(folder: Path, name: str, extra: str) -> Path:
    file = folder / f'{name}.yaml'
    file.write_text(f'onnx: {name}.onnx\n{extra}')
    return file


def write_detect(folder: Path, name: str = 'colours_detect', extra: str = '') -> Path:
    """A detector of the smallest box around all red, all green and all blue; its YAML file."""
    graph = _Graph()
    _padded(graph, _rows(graph, _inside(graph)))
    graph.save(folder / f'{name}.onnx', 'detect', NAMES, {'output0': (7, _ANCHORS)})
    return _yaml(folder, name, extra)


def write_fragile(folder: Path, name: str = 'colours_fragile') -> Path:
    """A detector that fails while it runs, when any channel of a pixel exceeds 0.95."""
    graph = _Graph()
    peak = graph.add('ReduceMax', 'images', keepdims=0)
    tenfold = graph.add('Mul', peak, graph.constant(np.float32(10 / 0.95)))
    index = graph.add('Cast', tenfold, to=TensorProto.INT64)
    nothing = graph.add('Gather', graph.constant(np.zeros(10, np.float32)), index)
    x, *rest = _rows(graph, _inside(graph))
    _padded(graph, [graph.add('Add', x, nothing), *rest])
    graph.save(folder / f'{name}.onnx', 'detect', NAMES, {'output0': (7, _ANCHORS)})
    return _yaml(folder, name, '')


def write_instance(folder: Path, name: str = 'colours_instance', extra: str = '') -> Path:
    """The same with masks: the pixels of the colour."""
    graph = _Graph()
    inside = _inside(graph)
    coefficients = graph.add(
        'Expand', graph.constant(np.eye(32, 3, dtype=np.float32)[None]), _batch_shape(graph, 32, 3)
    )
    _padded(graph, [*_rows(graph, inside), coefficients])
    pooled = graph.add('AveragePool', inside, kernel_shape=[4, 4], strides=[4, 4])
    scaled = graph.add('Mul', pooled, graph.constant(np.float32(20)))
    logits = graph.add('Sub', scaled, graph.constant(np.float32(10)))
    pads = graph.constant(np.array([0, 0, 0, 0, 0, 29, 0, 0], np.int64))
    graph.add('Pad', logits, pads, output='output1')
    outputs = {'output0': (39, _ANCHORS), 'output1': (32, SIZE[1] // 4, SIZE[0] // 4)}
    graph.save(folder / f'{name}.onnx', 'instance', NAMES, outputs)
    return _yaml(folder, name, extra)


def write_semantic(folder: Path, name: str = 'colours_semantic', extra: str = '') -> Path:
    """The class of each pixel: 0 for no pure colour, then red, green, blue."""
    graph = _Graph()
    excess = _excess(graph)
    other = graph.add(
        'Expand',
        graph.constant(np.full((1, 1, 1, 1), 0.5, np.float32)),
        _batch_shape(graph, 1, SIZE[1], SIZE[0]),
    )
    joined = graph.add('Concat', other, excess, axis=1)
    graph.add('Mul', joined, graph.constant(np.float32(20)), output='output0')
    names = ('other', *NAMES)
    graph.save(folder / f'{name}.onnx', 'semantic', names, {'output0': (4, SIZE[1], SIZE[0])})
    return _yaml(folder, name, extra)


def _batch_shape(graph: _Graph, *shape: int) -> str:
    """The shape [batch, *shape] as a value."""
    batch = graph.add(
        'Gather', graph.add('Shape', 'images'), graph.constant(np.array([0], np.int64))
    )
    return graph.add('Concat', batch, graph.constant(np.array(shape, np.int64)), axis=0)
