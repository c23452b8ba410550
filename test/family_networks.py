"""ONNX graphs of the shapes that well-known families have, with random weights by seed.

They are far smaller than the originals; what they share with them is how operators are strung
together: which is what graph preparation, parsers and decoders depend on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 6
SIZE = (128, 96)


class Net:
    """Strings operators together; a tensor is its name, its channels are remembered."""

    def __init__(
        self,
        *,
        opset: int = 17,
        batch: int | str = 1,
        size=SIZE,
        seed: int = 1,
        open_size: bool = False,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.channels: dict[str, int] = {'images': 3}
        self.opset, self.batch, self.size, self.open_size = opset, batch, size, open_size

    def const(self, value, dtype=np.float32) -> str:
        name = f'const_{len(self.weights)}'
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(
        self, kind: str, *inputs: str, channels: int | None = None, count: int = 1, **attributes
    ):
        """Add a node; returns its output, or a list of `count` outputs."""
        name = f'/{kind}_{len(self.nodes)}'
        outputs = [f'{name}_output_{i}' for i in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name, **attributes))
        for output in outputs:
            self.channels[output] = channels or self.channels.get(inputs[0], 0)
        return outputs[0] if count == 1 else outputs

    def random(self, shape: Sequence[int], fan_in: int) -> str:
        return self.const(self.rng.normal(0, math.sqrt(1.5 / fan_in), shape))

    def conv(self, x: str, out: int, k: int = 3, s: int = 1, g: int = 1, act: str = 'silu') -> str:
        fan_in = self.channels[x] // g * k * k
        weight = self.random((out, self.channels[x] // g, k, k), fan_in)
        bias = self.const(self.rng.normal(0, 0.1, out))
        y = self.op(
            'Conv', x, weight, bias, channels=out, kernel_shape=[k, k], strides=[s, s],
            pads=[k // 2] * 4, group=g,
        )  # fmt: skip
        return self.act(y, act)

    def act(self, x: str, act: str) -> str:
        if act == 'silu':
            return self.op('Mul', x, self.op('Sigmoid', x))
        return self.op('Relu', x) if act == 'relu' else x

    def concat(self, *parts: str, axis: int = 1) -> str:
        return self.op('Concat', *parts, channels=sum(self.channels[p] for p in parts), axis=axis)

    def split(self, x: str, sizes: Sequence[int], axis: int = 1) -> list[str]:
        parts = self.op('Split', x, self.const(sizes, np.int64), count=len(sizes), axis=axis)
        for part, size in zip(parts, sizes, strict=True):
            self.channels[part] = size
        return parts

    def reshape(self, x: str, *shape: int) -> str:
        return self.op('Reshape', x, self.const(shape, np.int64))

    def transpose(self, x: str, *perm: int) -> str:
        return self.op('Transpose', x, perm=perm)

    def up(self, x: str, factor: int = 2, mode: str = 'nearest') -> str:
        return self.op('Resize', x, '', self.const([1, 1, factor, factor]), mode=mode)

    def max_pool(self, x: str, k: int = 5, s: int = 1) -> str:
        return self.op(
            'MaxPool', x, kernel_shape=[k, k], strides=[s, s],
            pads=[k // 2] * 4 if s == 1 else [0] * 4,
        )  # fmt: skip

    def linear(self, x: str, n_in: int, n_out: int) -> str:
        y = self.op('MatMul', x, self.random((n_in, n_out), n_in))
        return self.op('Add', self.const(self.rng.normal(0, 0.1, n_out)), y)

    def layer_norm(self, x: str, width: int) -> str:
        scale, bias = self.const(np.ones(width)), self.const(np.zeros(width))
        return self.op('LayerNormalization', x, scale, bias, axis=-1)

    def model(self, outputs: dict[str, Sequence[int | str]]) -> onnx.ModelProto:
        """Close the graph; the keys of `outputs` become the names."""
        value = helper.make_tensor_value_info
        width, height = self.size
        nodes = [*self.nodes]
        infos = []
        for i, (tensor, shape) in enumerate(outputs.items()):
            nodes.append(helper.make_node('Identity', [tensor], [f'output{i}'], f'/out_{i}'))
            extents = [f'extent{a}' if n == -1 else n for a, n in enumerate(shape)]
            infos.append(value(f'output{i}', TensorProto.FLOAT, [self.batch, *extents]))
        extents = ['height', 'width'] if self.open_size else [height, width]
        inputs = [value('images', TensorProto.FLOAT, [self.batch, 3, *extents])]
        graph = helper.make_graph(nodes, 'family', inputs, infos, self.weights)
        opset = [helper.make_opsetid('', self.opset)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)

    def cells(self, stride: int) -> tuple[int, int]:
        """(columns, rows) of the feature map at a stride; -1 where the size is open."""
        if self.open_size:
            return -1, -1
        return self.size[0] // stride, self.size[1] // stride

    def count(self, *strides: int) -> int:
        """Cells of the feature maps at some strides; -1 where the size is open."""
        if self.open_size:
            return -1
        return sum(math.prod(self.cells(stride)) for stride in strides)

    def extents(self, x: str) -> str:
        """[rows, columns] of a feature map, as a tensor."""
        return self.op('Shape', x, start=2, end=4)

    def like(self, x: str, other: str, *lead: int) -> str:
        """`x` reshaped to `lead` and the rows and columns of `other`."""
        shape = self.op('Concat', self.const(lead, np.int64), self.extents(other), axis=0)
        return self.op('Reshape', x, shape)


def _bottleneck(net: Net, x: str) -> str:
    c = net.channels[x]
    return net.op('Add', x, net.conv(net.conv(x, c), c))


def _c2f(net: Net, x: str, out: int, n: int = 1, *, shortcut: bool = True) -> str:
    half = out // 2
    parts = net.split(net.conv(x, out, 1), [half, half])
    for _ in range(n):
        inner = _bottleneck(net, parts[-1]) if shortcut else net.conv(parts[-1], half)
        parts.append(inner)
    return net.conv(net.concat(*parts), out, 1)


def _sppf(net: Net, x: str) -> str:
    parts = [net.conv(x, net.channels[x] // 2, 1)]
    for _ in range(3):
        parts.append(net.max_pool(parts[-1]))
    return net.conv(net.concat(*parts), net.channels[x], 1)


def _backbone(net: Net, *, attention: bool = False) -> list[str]:
    """Feature maps at strides 8, 16 and 32, with a top-down neck."""
    x = net.conv(net.conv('images', 16, s=2), 32, s=2)
    p3 = _c2f(net, net.conv(_c2f(net, x, 32), 48, s=2), 48)
    p4 = _c2f(net, net.conv(p3, 64, s=2), 64)
    p5 = _sppf(net, _c2f(net, net.conv(p4, 96, s=2), 96))
    if attention:
        p5 = _attention(net, p5)
    n4 = _c2f(net, net.concat(net.up(p5), p4), 64, shortcut=False)
    n3 = _c2f(net, net.concat(net.up(n4), p3), 48, shortcut=False)
    m4 = _c2f(net, net.concat(net.conv(n3, 48, s=2), n4), 64, shortcut=False)
    m5 = _c2f(net, net.concat(net.conv(m4, 64, s=2), p5), 96, shortcut=False)
    return [n3, m4, m5]


def _attention(net: Net, x: str) -> str:
    """Self-attention over all cells, with a depth-wise positional convolution."""
    c = net.channels[x]
    columns, rows = net.cells(32)
    qkv = net.reshape(net.conv(x, 2 * c, 1, act=''), net_batch(net), 2, c, net.count(32))
    q, k, v = net.split(qkv, [c // 4, c // 4, c // 2], axis=2)
    scores = net.op('MatMul', net.transpose(q, 0, 1, 3, 2), k)
    weights = net.op('Softmax', net.op('Mul', scores, net.const((c // 4) ** -0.5)), axis=-1)
    mixed = net.op('MatMul', v, net.transpose(weights, 0, 1, 3, 2))
    if net.open_size:
        maps = [net.like(t, x, 0, c) for t in (mixed, v)]
    else:
        maps = [net.reshape(t, -1, c, rows, columns) for t in (mixed, v)]
    for t in maps:
        net.channels[t] = c
    position = net.conv(maps[1], c, 3, g=c, act='')
    y = net.op('Add', x, net.conv(net.op('Add', maps[0], position), c, 1, act=''))
    return net.op('Add', y, net.conv(net.conv(y, 2 * c, 1), c, 1, act=''))


def _anchors(net: Net, maps: Sequence[str]) -> tuple[str, str]:
    """Centres [1, 2, A] in cells and strides [1, A], as tensors."""
    if net.open_size:
        return _open_anchors(net, maps)
    centres, strides = [], []
    for stride in (8, 16, 32):
        columns, rows = net.cells(stride)
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        centres.append(np.stack([x.ravel(), y.ravel()]))
        strides.append(np.full((1, columns * rows), stride))
    return net.const(np.concatenate(centres, 1)[None]), net.const(np.concatenate(strides, 1))


def _open_anchors(net: Net, maps: Sequence[str]) -> tuple[str, str]:
    """The same where the network's size is open: computed from the maps' extents."""
    centres, strides = [], []
    for x, stride in zip(maps, (8, 16, 32), strict=True):
        extents = net.extents(x)
        axes = []
        for axis, shape in ((1, (1, -1)), (0, (-1, 1))):
            zero, one = (net.const(number, np.int64) for number in (0, 1))
            extent = net.op('Gather', extents, net.const(axis, np.int64), axis=0)
            steps = net.op('Cast', net.op('Range', zero, extent, one), to=TensorProto.FLOAT)
            steps = net.reshape(net.op('Add', steps, net.const(0.5)), *shape)
            axes.append(net.reshape(net.op('Expand', steps, extents), 1, 1, -1))
        centres.append(net.op('Concat', *axes, axis=1))
        zeros = net.op('Mul', net.reshape(axes[0], 1, -1), net.const(0.0))
        strides.append(net.op('Add', zeros, net.const(float(stride))))
    return net.op('Concat', *centres, axis=2), net.op('Concat', *strides, axis=1)


def _v8_boxes(net: Net, maps: Sequence[str], extra: int = 0) -> tuple[str, list[str], int]:
    """Raw scores and boxes in pixels of YOLOv8's head; [B, 4+nc, A], the extras, A."""
    raw, extras = [], []
    for x, stride in zip(maps, (8, 16, 32), strict=True):
        cells = net.count(stride)
        box = net.conv(net.conv(net.conv(x, 64), 64), 64, 1, act='')
        score = net.conv(net.conv(net.conv(x, 48), 48), CLASSES, 1, act='')
        raw.append(net.reshape(net.concat(box, score), net_batch(net), 64 + CLASSES, cells))
        if extra:
            t = net.conv(net.conv(x, 32), extra, 1, act='')
            extras.append(net.reshape(t, net_batch(net), extra, cells))
    centres, strides = _anchors(net, maps)
    count = net.count(8, 16, 32)
    box, score = net.split(net.op('Concat', *raw, axis=2), [64, CLASSES])
    bins = net.transpose(net.reshape(box, net_batch(net), 4, 16, count), 0, 2, 1, 3)
    weight = net.const(np.arange(16).reshape(1, 16, 1, 1))
    dfl = net.op('Conv', net.op('Softmax', bins, axis=1), weight, channels=1)
    near, far = net.split(net.reshape(dfl, net_batch(net), 4, count), [2, 2])
    low = net.op('Sub', centres, near)
    high = net.op('Add', centres, far)
    centre = net.op('Div', net.op('Add', low, high), net.const(2.0))
    extent = net.op('Sub', high, low)
    boxes = net.op('Mul', net.op('Concat', centre, extent, axis=1), strides)
    return net.op('Concat', boxes, net.op('Sigmoid', score), axis=1), extras, count


def net_batch(net: Net) -> int:
    """What stands for the batch in the shape of a Reshape."""
    if net.open_size:
        return 0  # as it was; only one extent may be -1
    return net.batch if isinstance(net.batch, int) else -1


def yolov8(**options) -> onnx.ModelProto:
    net = Net(**options)
    output, _, count = _v8_boxes(net, _backbone(net))
    return net.model({output: (4 + CLASSES, count)})


def yolov8_segment(**options) -> onnx.ModelProto:
    net = Net(**options)
    maps = _backbone(net)
    boxes, extras, count = _v8_boxes(net, maps, extra=32)
    x = net.conv(maps[0], 32)
    weight = net.random((32, 32, 2, 2), 32)
    x = net.op('ConvTranspose', x, weight, channels=32, kernel_shape=[2, 2], strides=[2, 2])
    prototypes = net.conv(net.conv(x, 32), 32, 1)
    output = net.op('Concat', boxes, net.op('Concat', *extras, axis=2), axis=1)
    columns, rows = net.cells(4)
    return net.model({output: (36 + CLASSES, count), prototypes: (32, rows, columns)})


def yolo11(**options) -> onnx.ModelProto:
    net = Net(**options)
    output, _, count = _v8_boxes(net, _backbone(net, attention=True))
    return net.model({output: (4 + CLASSES, count)})


def yolov10(**options) -> onnx.ModelProto:
    """One-to-one head: top-k instead of suppression."""
    net = Net(**options)
    output, _, count = _v8_boxes(net, _backbone(net))
    boxes, scores = net.split(output, [4, CLASSES])
    boxes, scores = net.transpose(boxes, 0, 2, 1), net.transpose(scores, 0, 2, 1)
    best = net.op('ReduceMax', scores, axes=[2], keepdims=0)
    k = 20 if net.open_size else min(20, count)
    _, index = net.op('TopK', best, net.const([k], np.int64), count=2, axis=1)
    column = net.op('Unsqueeze', index, net.const([2], np.int64))
    boxes = net.op(
        'GatherElements', boxes, net.op('Tile', column, net.const([1, 1, 4], np.int64)), axis=1
    )
    repeated = net.op('Tile', column, net.const([1, 1, CLASSES], np.int64))
    scores = net.op('GatherElements', scores, repeated, axis=1)
    score = net.op('ReduceMax', scores, axes=[2], keepdims=1)
    label = net.op('Cast', net.op('ArgMax', scores, axis=2), to=TensorProto.FLOAT)
    return net.model({net.op('Concat', boxes, score, label, axis=2): (k, 6)})


def yolov5(**options) -> onnx.ModelProto:
    """Anchor boxes, a SiLU network, [B, A, 5+nc]."""
    net = Net(**options)
    width = 5 + CLASSES
    parts = []
    for x, stride in zip(_backbone(net), (8, 16, 32), strict=True):
        columns, rows = net.cells(stride)
        raw = net.conv(x, 3 * width, 1, act='')
        cells = net.reshape(raw, net_batch(net), 3, width, rows, columns)
        y = net.op('Sigmoid', net.transpose(cells, 0, 1, 3, 4, 2))
        centre, extent, score = net.split(y, [2, 2, width - 4], axis=4)
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)[None, None] - 0.5
        two, step = net.const(2.0), net.const(float(stride))
        centre = net.op('Mul', net.op('Add', net.op('Mul', centre, two), net.const(grid)), step)
        anchors = net.const(np.arange(1, 7).reshape(1, 3, 1, 1, 2) * stride)
        extent = net.op('Mul', net.op('Pow', net.op('Mul', extent, two), two), anchors)
        y = net.op('Concat', centre, extent, score, axis=4)
        parts.append(net.reshape(y, net_batch(net), 3 * rows * columns, width))
    count = sum(3 * net.cells(s)[0] * net.cells(s)[1] for s in (8, 16, 32))
    return net.model({net.op('Concat', *parts, axis=1): (count, width)})


def rtdetr(**options) -> onnx.ModelProto:
    """Convolutional backbone, an encoder layer, top-k queries, a decoder that samples."""
    net = Net(**options)
    width, k = 64, 12
    maps = _backbone(net)
    tokens = []
    for x, stride in zip(maps, (8, 16, 32), strict=True):
        flat = net.reshape(net.conv(x, width, 1, act=''), net_batch(net), width, net.count(stride))
        tokens.append(net.transpose(flat, 0, 2, 1))
    memory = _transformer_layer(net, net.op('Concat', *tokens, axis=1), width)
    scores = net.linear(memory, width, CLASSES)
    best = net.op('ReduceMax', scores, axes=[2], keepdims=0)
    _, index = net.op('TopK', best, net.const([k], np.int64), count=2, axis=1)
    column = net.op('Unsqueeze', index, net.const([2], np.int64))
    repeated = net.op('Tile', column, net.const([1, 1, width], np.int64))
    query = net.op('GatherElements', memory, repeated, axis=1)
    points = net.op('Tanh', net.linear(query, width, 2))
    grid = net.op('Unsqueeze', points, net.const([1], np.int64))
    sampled = net.op('GridSample', maps[0], grid, mode='bilinear', padding_mode='zeros')
    sampled = net.transpose(net.op('Squeeze', sampled, net.const([2], np.int64)), 0, 2, 1)
    query = net.op('Add', query, net.linear(sampled, 48, width))
    query = _transformer_layer(net, query, width)
    boxes = net.op('Sigmoid', net.linear(query, width, 4))
    labels = net.op('Sigmoid', net.linear(query, width, CLASSES))
    return net.model({net.op('Concat', boxes, labels, axis=2): (k, 4 + CLASSES)})


def _transformer_layer(net: Net, x: str, width: int) -> str:
    q, k, v = (net.linear(x, width, width) for _ in range(3))
    scores = net.op('MatMul', q, net.transpose(k, 0, 2, 1))
    weights = net.op('Softmax', net.op('Mul', scores, net.const(width**-0.5)), axis=-1)
    mixed = net.linear(net.op('MatMul', weights, v), width, width)
    x = net.layer_norm(net.op('Add', x, mixed), width)
    wide = net.op('Relu', net.linear(x, width, 2 * width))
    return net.layer_norm(net.op('Add', x, net.linear(wide, 2 * width, width)), width)


def _basic_block(net: Net, x: str, out: int, s: int = 1, act: str = 'relu') -> str:
    y = net.conv(net.conv(x, out, s=s, act='relu'), out, act='')
    if s != 1 or net.channels[x] != out:
        x = net.conv(x, out, 1, s, act='')
    return net.act(net.op('Add', y, x), act)


def ddrnet(**options) -> onnx.ModelProto:
    """Two branches that exchange features, and pooling over several scales."""
    net = Net(**options)
    x = net.conv(net.conv('images', 16, s=2, act='relu'), 32, s=2, act='relu')
    x = _basic_block(net, _basic_block(net, x, 32), 48, 2)
    low = _basic_block(net, x, 64, 2)
    high = _basic_block(net, x, 32)
    low, high = (
        net.op('Relu', net.op('Add', low, net.conv(high, 64, s=2, act=''))),
        net.op('Relu', net.op('Add', high, net.up(net.conv(low, 32, 1, act=''), mode='linear'))),
    )
    low = _basic_block(net, low, 96, 2)
    pooled = net.op('AveragePool', low, kernel_shape=[3, 3], pads=[1] * 4)
    whole = net.conv(net.op('GlobalAveragePool', low), 32, 1, act='relu')
    if net.open_size:
        sizes = net.op('Concat', net.const([1, 32], np.int64), net.extents(low), axis=0)
    else:
        sizes = net.const([1, 32, *net.cells(32)[::-1]], np.int64)
    whole = net.op('Expand', whole, sizes)
    parts = [net.conv(low, 32, 1, act='relu'), net.conv(pooled, 32, 1, act='relu'), whole]
    context = net.conv(net.concat(*parts), 64, 1, act='relu')
    context = net.up(net.conv(context, 32, 1, act=''), 4, 'linear')
    x = net.conv(net.op('Add', high, context), 48, act='relu')
    logits = net.conv(x, CLASSES, 1, act='')
    columns, rows = net.cells(8)
    return net.model({logits: (CLASSES, rows, columns)})


def unet(**options) -> onnx.ModelProto:
    """Down with max pooling, up with transposed convolutions, skips by concatenation."""
    net = Net(**options)
    skips, x = [], 'images'
    for width in (16, 32, 48):
        x = net.conv(net.conv(x, width, act='relu'), width, act='relu')
        skips.append(x)
        x = net.max_pool(x, 2, 2)
    x = net.conv(x, 64, act='relu')
    for skip, width in zip(reversed(skips), (48, 32, 16), strict=True):
        weight = net.random((net.channels[x], width, 2, 2), net.channels[x])
        x = net.op('ConvTranspose', x, weight, channels=width, kernel_shape=[2, 2], strides=[2, 2])
        x = net.conv(net.conv(net.concat(skip, x), width, act='relu'), width, act='relu')
    logits = net.conv(x, CLASSES, 1, act='')
    return net.model({logits: (CLASSES, *net.cells(1)[::-1])})


FAMILIES: dict[str, Callable[..., onnx.ModelProto]] = {
    'yolov5': yolov5,
    'yolov8': yolov8,
    'yolov8_segment': yolov8_segment,
    'yolo11': yolo11,
    'yolov10': yolov10,
    'rtdetr': rtdetr,
    'ddrnet': ddrnet,
    'unet': unet,
}


def write_family(path: Path, family: str, **options) -> Path:
    """Write one network of `FAMILIES` to `path`."""
    onnx.save(FAMILIES[family](**options), str(path))
    return path
