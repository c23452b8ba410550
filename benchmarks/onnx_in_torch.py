"""Runs the graph of an ONNX file by torch: the same weights, so that times can be compared.

Knows the operators of `sized_networks` and no others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
import torch.nn.functional as functional
from onnx import numpy_helper


class TorchNetwork(torch.nn.Module):
    """A graph as a module; weights are parameters, and it can be compiled."""

    def __init__(self, path: Path) -> None:
        """Load a file.

        Raises:
            ValueError: an operator is not known.
        """
        super().__init__()
        graph = onnx.load(str(path)).graph
        self._whole: dict[str, list[Any]] = {}
        self._names: dict[str, str] = {}
        for tensor in graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            if value.is_floating_point():
                self._names[tensor.name] = name = f'w{len(self._names)}'
                self.register_buffer(name, value)
            else:
                self._whole[tensor.name] = value.tolist()
        self._nodes = [
            (n.op_type, list(n.input), list(n.output), attributes_of(n)) for n in graph.node
        ]
        unknown = {kind for kind, *_ in self._nodes} - set(_KNOWN)
        if unknown:
            raise ValueError(f'operators without a counterpart here: {sorted(unknown)}')
        self._input = graph.input[0].name
        self._outputs = [value.name for value in graph.output]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Run it on [B, 3, h, w]."""
        values: dict[str, Any] = {self._input: images, '': None, **self._whole}
        values |= {name: getattr(self, own) for name, own in self._names.items()}
        for kind, inputs, outputs, attributes in self._nodes:
            found = _KNOWN[kind]([values[name] for name in inputs], attributes)
            values.update(zip(outputs, found if kind == 'Split' else [found], strict=True))
        return [values[name] for name in self._outputs]


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _conv(x: list[Any], a: dict[str, Any]) -> torch.Tensor:
    pads = a.get('pads', [0] * 4)
    bias = x[2] if len(x) > 2 else None
    stride = a.get('strides', [1, 1])
    return functional.conv2d(x[0], x[1], bias, stride, pads[:2], groups=a.get('group', 1))


def _max_pool(x: list[Any], a: dict[str, Any]) -> torch.Tensor:
    return functional.max_pool2d(x[0], a['kernel_shape'], a['strides'], a['pads'][:2])


_KNOWN = {
    'Conv': _conv,
    'ConvTranspose': lambda x, a: functional.conv_transpose2d(x[0], x[1], stride=a['strides']),
    'MaxPool': _max_pool,
    'Sigmoid': lambda x, a: torch.sigmoid(x[0]),
    'Softmax': lambda x, a: torch.softmax(x[0], a['axis']),
    'Mul': lambda x, a: x[0] * x[1],
    'Add': lambda x, a: x[0] + x[1],
    'Sub': lambda x, a: x[0] - x[1],
    'Div': lambda x, a: x[0] / x[1],
    'Concat': lambda x, a: torch.cat(x, a['axis']),
    'Split': lambda x, a: torch.split(x[0], x[1], a['axis']),
    'Reshape': lambda x, a: x[0].reshape(x[1]),
    'Transpose': lambda x, a: x[0].permute(a['perm']),
    'Resize': lambda x, a: functional.interpolate(x[0], scale_factor=2.0, mode='nearest'),
    'Identity': lambda x, a: x[0],
}
