"""Who writes and who reads each tensor of a graph, of which type and shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from trt_perception.building.onnx_graph import captured

OPEN_EXTENT = 640
"""Stands for an open height or width where arithmetic is counted, unless the size is known."""

_SMALL = 4096
"""Weights of at most so many values are shown to shape inference."""

WEIGHTED = frozenset(['Conv', 'ConvTranspose', 'MatMul', 'Gemm'])
"""Operators that multiply and add."""

Shape = tuple[int, ...]


class GraphIndex:
    """A graph looked at from all sides. The graph must not change while this is in use.

    Attributes:
        graph: sorted, its nodes named; see `onnx_graph.load_graph`.
        nodes: by name, in order of execution.
        producer: the node that writes a tensor.
        consumers: the nodes that read a tensor, each once, in order of execution.
        weights: the initialisers.
        fed: tensors that depend on the values of the inputs, not just on their shapes.
        inputs, outputs: names of the graph's own, without initialisers.
        types: ONNX element types as far as they can be inferred.
        shapes: with batch 1 and the size for other open extents, where inferred.
    """

    def __init__(self, model: onnx.ModelProto, size: tuple[int, int] | None = None) -> None:
        """Index a model's graph.

        Args:
            model: from `onnx_graph.load_graph`.
            size: (width, height) of the pictures, where the network leaves them open; None is
                `OPEN_EXTENT` for both.
        """
        self._open = {2: size[1], 3: size[0]} if size else {}
        self.graph = model.graph
        self.nodes = {node.name: node for node in self.graph.node}
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.inputs = [v.name for v in self.graph.input if v.name not in self.weights]
        self.outputs = [v.name for v in self.graph.output]
        self.producer: dict[str, onnx.NodeProto] = {}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.output:
                self.producer[name] = node
            for name in dict.fromkeys([*node.input, *sorted(captured(node))]):
                if name:
                    self.consumers.setdefault(name, []).append(node)
        self.fed = self._fed()
        self.types: dict[str, int] = {}
        self.shapes: dict[str, Shape] = {}
        self._infer(model)

    def value(self, name: str) -> NDArray[np.generic]:
        """The value of an initialiser."""
        return numpy_helper.to_array(self.weights[name])

    def is_float(self, name: str) -> bool:
        """Whether a tensor is known to be float32."""
        return self.types.get(name) == TensorProto.FLOAT

    def _fed(self) -> set[str]:
        fed = set(self.inputs)
        for node in self.nodes.values():
            reads = {*node.input, *captured(node)}
            if node.op_type not in ('Shape', 'Size') and reads & fed:
                fed.update(node.output)
        return fed

    def downstream(self, starts: Iterable[str]) -> set[str]:
        """Names of the nodes that read one of these tensors, directly or through others."""
        reached = set(starts)
        names = set()
        for node in self.nodes.values():
            if reached.intersection((*node.input, *captured(node))):
                names.add(node.name)
                reached.update(node.output)
        return names

    def leading_to(self, wanted: Callable[[onnx.NodeProto], bool]) -> set[str]:
        """Names of the nodes whose outputs reach a wanted node, directly or through others."""
        leading: set[str] = set()
        for node in reversed(self.nodes.values()):
            readers = [r for name in node.output for r in self.consumers.get(name, ())]
            if any(wanted(reader) or reader.name in leading for reader in readers):
                leading.add(node.name)
        return leading

    def multiply_adds(self) -> dict[str, int]:
        """Multiply-adds of every weighted node, for one image; 0 where a shape is unknown."""
        return {
            name: self._multiply_adds(node)
            for name, node in self.nodes.items()
            if node.op_type in WEIGHTED
        }

    def int8_nodes(self) -> set[str]:
        """Names of the weighted nodes that read a dequantised tensor."""
        nodes = self.nodes.values()
        narrow = {name for n in nodes if n.op_type == 'DequantizeLinear' for name in n.output}
        return {n.name for n in nodes if n.op_type in WEIGHTED and narrow.intersection(n.input)}

    def _multiply_adds(self, node: onnx.NodeProto) -> int:
        data, weight = (self.shapes.get(name, ()) for name in node.input[:2])
        result = self.shapes.get(node.output[0], ())
        if not (data and weight and result):
            return 0
        if node.op_type == 'Conv':
            return math.prod(result) * math.prod(weight[1:])
        if node.op_type == 'ConvTranspose':
            return math.prod(data) * math.prod(weight[1:])
        transposed = any(a.name == 'transA' and a.i for a in node.attribute)
        return math.prod(result) * data[-2 if transposed else -1]

    def _infer(self, model: onnx.ModelProto) -> None:
        fixed = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
        fixed.functions.extend(model.functions)
        fixed.graph.name = model.graph.name
        fixed.graph.node.extend(model.graph.node)
        fixed.graph.input.extend(model.graph.input)
        fixed.graph.output.extend(model.graph.output)
        declared = {value.name for value in model.graph.input}
        for tensor in model.graph.initializer:
            # Shapes follow from small weights alone; to copy the large ones takes memory.
            if math.prod(tensor.dims) <= _SMALL:
                fixed.graph.initializer.append(tensor)
            elif tensor.name not in declared:
                described = (tensor.name, tensor.data_type, list(tensor.dims))
                fixed.graph.input.append(helper.make_tensor_value_info(*described))
        for value in fixed.graph.input:
            for axis, extent in enumerate(value.type.tensor_type.shape.dim):
                if not extent.dim_value:
                    extent.dim_value = 1 if axis == 0 else self._open.get(axis, OPEN_EXTENT)
        # What the file states of inner tensors is left out: it knows no fixed batch.
        for value in fixed.graph.output:
            value.type.tensor_type.ClearField('shape')
        graph = shape_inference.infer_shapes(fixed, data_prop=True).graph
        for tensor in model.graph.initializer:
            self.types[tensor.name] = tensor.data_type
            self.shapes[tensor.name] = tuple(tensor.dims)
        for value in (*graph.input, *graph.output, *graph.value_info):
            kind = value.type.tensor_type
            if kind.elem_type:
                self.types[value.name] = kind.elem_type
            if kind.HasField('shape') and all(d.HasField('dim_value') for d in kind.shape.dim):
                self.shapes[value.name] = tuple(d.dim_value for d in kind.shape.dim)
