"""Networks as large as YOLOv8n and YOLOv8m, with random weights and objects that are known.

Layers, channels and repeats are those of the published architecture, so that the arithmetic is
too. Training is what they lack: a constant in front of the scores puts objects where a trained
network might see them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / 'test')]

from family_networks import Net  # noqa: E402
from trt_perception.building.half_precision import to_half  # noqa: E402

CLASSES = 80
SIZE = (640, 640)
STRIDES = (8, 16, 32)
OBJECTS = 20


@dataclass(frozen=True)
class Scale:
    """Of an architecture: channels at strides 2 to 32, and repeats in the C2f blocks."""

    channels: tuple[int, int, int, int, int]
    repeats: tuple[int, int, int, int]
    neck: int


SCALES = {
    'n': Scale((16, 32, 64, 128, 256), (1, 2, 2, 1), 1),
    'm': Scale((48, 96, 192, 384, 576), (2, 4, 4, 2), 2),
}


def write_sized_network(folder: Path, scale: str, task: str, *, half: bool) -> Path:
    """Write the ONNX file and its model YAML.

    Args:
        folder: where they go.
        scale: one of `SCALES`.
        task: 'detect' or 'instance'.
        half: compute in float16; inputs and outputs stay float32.

    Returns:
        The YAML file.
    """
    name = f'{scale}_{task}_{"fp16" if half else "fp32"}'
    model = sized_network(SCALES[scale], masks=task == 'instance')
    if half:
        to_half(model, (), name)
    names = {i: f'class{i}' for i in range(CLASSES)}
    metadata = {'task': 'segment' if task == 'instance' else 'detect', 'names': str(names)}
    # What Ultralytics reads from its own exports.
    metadata |= {'stride': '32', 'batch': '1', 'imgsz': '[640, 640]', 'description': name}
    helper.set_model_props(model, metadata)
    onnx.save(model, str(folder / f'{name}.onnx'))
    path = folder / f'{name}.yaml'
    path.write_text(f'onnx: {name}.onnx\nfamily: yolov8\ntask: {task}\n')
    return path


def sized_network(scale: Scale, *, masks: bool) -> onnx.ModelProto:
    """The network, with an open batch."""
    net = Net(batch='batch', size=SIZE, seed=3)
    maps = _neck(net, _backbone(net, scale), scale)
    output, count = _head(net, maps, masks=masks)
    if not masks:
        return net.model({output: (4 + CLASSES, count)})
    hidden = scale.channels[2]
    x = net.conv(maps[0], hidden)
    weight = net.random((hidden, hidden, 2, 2), hidden)
    x = net.op('ConvTranspose', x, weight, channels=hidden, kernel_shape=[2, 2], strides=[2, 2])
    prototypes = net.conv(net.conv(x, hidden), 32, 1)
    rows = columns = SIZE[0] // 4
    return net.model({output: (4 + CLASSES + 32, count), prototypes: (32, rows, columns)})


def _c2f(net: Net, x: str, out: int, repeats: int, *, shortcut: bool) -> str:
    half = out // 2
    parts = net.split(net.conv(x, out, 1), [half, half])
    for _ in range(repeats):
        inner = net.conv(net.conv(parts[-1], half), half)
        parts.append(net.op('Add', parts[-1], inner) if shortcut else inner)
    return net.conv(net.concat(*parts), out, 1)


def _backbone(net: Net, scale: Scale) -> list[str]:
    x = net.conv('images', scale.channels[0], s=2)
    maps = []
    for channels, repeats in zip(scale.channels[1:], scale.repeats, strict=True):
        x = _c2f(net, net.conv(x, channels, s=2), channels, repeats, shortcut=True)
        maps.append(x)
    half = net.conv(x, scale.channels[4] // 2, 1)
    parts = [half]
    for _ in range(3):
        parts.append(net.max_pool(parts[-1]))
    return [*maps[1:3], net.conv(net.concat(*parts), scale.channels[4], 1)]


def _neck(net: Net, maps: list[str], scale: Scale) -> list[str]:
    p3, p4, p5 = maps
    _, _, c3, c4, c5 = scale.channels

    def block(x: str, out: int) -> str:
        return _c2f(net, x, out, scale.neck, shortcut=False)

    n4 = block(net.concat(net.up(p5), p4), c4)
    n3 = block(net.concat(net.up(n4), p3), c3)
    m4 = block(net.concat(net.conv(n3, c3, s=2), n4), c4)
    m5 = block(net.concat(net.conv(m4, c4, s=2), p5), c5)
    return [n3, m4, m5]


def _head(net: Net, maps: list[str], *, masks: bool) -> tuple[str, int]:
    first = net.channels[maps[0]]
    raw, extras = [], []
    for x, stride in zip(maps, STRIDES, strict=True):
        cells = (SIZE[0] // stride) * (SIZE[1] // stride)
        box, kinds = max(64, first // 4), max(first, CLASSES)
        boxes = net.conv(net.conv(net.conv(x, box), box), 64, 1, act='')
        scores = net.conv(net.conv(net.conv(x, kinds), kinds), CLASSES, 1, act='')
        raw.append(net.reshape(net.concat(boxes, scores), -1, 64 + CLASSES, cells))
        if masks:
            width = max(32, first // 4)
            values = net.conv(net.conv(net.conv(x, width), width), 32, 1, act='')
            extras.append(net.reshape(values, -1, 32, cells))
    centres, strides, count = _anchors(net)
    box, score = net.split(net.op('Concat', *raw, axis=2), [64, CLASSES])
    bins = net.transpose(net.reshape(box, -1, 4, 16, count), 0, 2, 1, 3)
    # Objects of some hundred pixels in a frame of 1920x1080, not half of it.
    bins = net.op('Add', bins, net.const(-0.25 * np.arange(16).reshape(1, 16, 1, 1)))
    steps = net.const(np.arange(16).reshape(1, 16, 1, 1))
    far = net.op('Conv', net.op('Softmax', bins, axis=1), steps, channels=1)
    near, far = net.split(net.reshape(far, -1, 4, count), [2, 2])
    low, high = net.op('Sub', centres, near), net.op('Add', centres, far)
    centre = net.op('Div', net.op('Add', low, high), net.const(2.0))
    boxes = net.op('Concat', centre, net.op('Sub', high, low), axis=1)
    boxes = net.op('Mul', boxes, strides)
    faint = net.op('Mul', score, net.const(0.05))
    scores = net.op('Sigmoid', net.op('Add', faint, net.const(_planted(count))))
    parts = [boxes, scores, *([net.op('Concat', *extras, axis=2)] if masks else [])]
    return net.op('Concat', *parts, axis=1), count


def _anchors(net: Net) -> tuple[str, str, int]:
    centres, strides = [], []
    for stride in STRIDES:
        columns, rows = net.cells(stride)
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        centres.append(np.stack([x.ravel(), y.ravel()]))
        strides.append(np.full((1, columns * rows), stride))
    count = sum(part.shape[1] for part in strides)
    anchors = net.const(np.concatenate(centres, 1)[None])
    return anchors, net.const(np.concatenate(strides, 1)), count


def _planted(count: int) -> np.ndarray:
    """[1, classes, anchors] added to the scores: silence but for the objects.

    They lie at stride 16, 5 by 4, each with a weaker neighbour for suppression to remove.
    """
    rng = np.random.default_rng(11)
    logits = np.full((1, CLASSES, count), -9.0, np.float32)
    start, columns = (SIZE[0] // 8) ** 2, SIZE[0] // 16
    for number in range(OBJECTS):
        column, row = 4 + 8 * (number % 5), 9 + 7 * (number // 5)
        at, kind = start + row * columns + column, rng.integers(CLASSES)
        logits[0, kind, at] = 2.0
        logits[0, kind, at + 1] = 1.0
    return logits
