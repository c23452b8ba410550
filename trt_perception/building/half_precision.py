"""Turns the float32 of a graph into float16, except where float16 would do harm.

The graph's inputs and outputs keep their types. Neighbours that stay float32 hand float32 to
each other, and a weight that both kinds of nodes read is stored twice, so that nothing which
stays float32 passes through float16 on its way.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trt_perception.building.graph_files import subgraphs
from trt_perception.building.graph_index import WEIGHTED, GraphIndex
from trt_perception.building.onnx_graph import captured, name_nodes, sort_nodes

_FLOAT_ONLY = frozenset(
    ['CumSum', 'NonMaxSuppression', 'Range', 'RoiAlign', 'TopK', 'Upsample', 'EyeLike']
)
"""Operators without float16 in ONNX or in a backend, or that order values by small differences."""

_FLOAT_INPUTS = {'Resize': (1, 2), 'Upsample': (1,)}
"""Inputs that ONNX or TensorRT wants as float32 whatever the others are."""

_PAIR = frozenset(['QuantizeLinear', 'DequantizeLinear'])

_ARITHMETIC = frozenset(['Add', 'Sub', 'Mul', 'Div', 'Pow'])

COORDINATE = 8.0
"""A constant of this magnitude, behind the last weights, makes coordinates of what it meets."""

LARGEST_HALF = float(np.finfo(np.float16).max)


def coordinate_nodes(index: GraphIndex) -> set[str]:
    """Nodes behind the last weights that compute with pixels.

    float16 has steps of half a pixel from 512 on, and anchors in cells, multiplied by their
    stride, err by as much: enough to cost accuracy at small objects. These nodes are found by
    their constants: grids, anchors and strides are at least `COORDINATE`; what reads their
    results belongs to them.
    """
    before_weights = index.leading_to(lambda node: node.op_type in WEIGHTED)
    fed = index.fed
    found: set[str] = set()
    for node in index.nodes.values():
        if node.name in before_weights or node.op_type in WEIGHTED:
            continue
        follows = any(
            index.producer[name].name in found for name in node.input if name in index.producer
        )
        if follows or (node.op_type in _ARITHMETIC and _meets_large_constant(node, index, fed)):
            found.add(node.name)
    return found


def to_half(model: onnx.ModelProto, keep_float: Collection[str], origin: str) -> None:
    """Convert a model in place.

    Args:
        model: named and sorted; see `onnx_graph.load_graph`.
        keep_float: names of nodes that shall compute in float32; others are added that must.
        origin: the file's name, for messages.
    """
    index = GraphIndex(model)
    fed = index.fed
    stay = {
        node.name
        for node in model.graph.node
        if node.name in keep_float
        or node.op_type in _FLOAT_ONLY
        or node.domain not in ('', 'ai.onnx')
        or any(True for _ in subgraphs(node))
        or not (fed.intersection(node.output) or node.op_type in _PAIR)
    }
    _Conversion(model, index, stay).run()
    name_nodes(model.graph)
    sort_nodes(model.graph, origin)


def _meets_large_constant(node: onnx.NodeProto, index: GraphIndex, fed: set[str]) -> bool:
    for name in node.input:
        if name in fed or not index.is_float(name):
            continue
        if name not in index.weights:
            return True  # computed from shapes alone, as the anchors of a network of open size
        value = np.asarray(index.value(name))
        if value.size and float(np.abs(value).max()) >= COORDINATE:
            return True
    return False


class _Conversion:
    """The state of one conversion: which tensors are float16 by now, and what was cast."""

    def __init__(self, model: onnx.ModelProto, index: GraphIndex, stay: set[str]) -> None:
        self.graph = model.graph
        self.index = index
        self.stay = stay
        self.half = {
            name
            for node in model.graph.node
            if node.name not in stay
            for name in node.output
            if index.is_float(name)
        }
        self.casts: dict[tuple[str, int], str] = {}
        self.made: list[onnx.NodeProto] = []
        self.taken = set(index.types) | set(index.producer) | set(index.inputs)

    def run(self) -> None:
        for node in self.graph.node:
            self._convert_inputs(node)
            if node.name not in self.stay and node.op_type == 'Cast':
                for attribute in node.attribute:
                    if attribute.name == 'to' and attribute.i == TensorProto.FLOAT:
                        attribute.i = TensorProto.FLOAT16
        self._restore_outputs()
        self.graph.node.extend(self.made)
        used = {name for node in self.graph.node for name in (*node.input, *captured(node))}
        used |= set(self.index.outputs)
        weights = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:], self.graph.value_info[:]
        self.graph.initializer.extend(weights)

    def _convert_inputs(self, node: onnx.NodeProto) -> None:
        always = _FLOAT_INPUTS.get(node.op_type, ())
        for position, name in enumerate(node.input):
            if name and self.index.is_float(name):
                floating = node.name in self.stay or position in always
                node.input[position] = self._as(name, floating)
        for name in captured(node):
            if self.index.is_float(name):
                renamed = self._as(name, True)
                if renamed != name:
                    _rename(node, name, renamed)

    def _as(self, name: str, floating: bool) -> str:
        """The name under which a float tensor is to be had in the wanted type."""
        if name in self.index.weights:
            return name if floating else self._half_weight(name)
        if floating is not (name in self.half):
            return name
        return self._cast(name, TensorProto.FLOAT if floating else TensorProto.FLOAT16)

    def _half_weight(self, name: str) -> str:
        key = (name, TensorProto.FLOAT16)
        if key not in self.casts:
            value = np.clip(self.index.value(name), -LARGEST_HALF, LARGEST_HALF)
            self.casts[key] = self._free(f'{name}_half')
            half = numpy_helper.from_array(value.astype(np.float16), self.casts[key])
            self.graph.initializer.append(half)
        return self.casts[key]

    def _cast(self, name: str, kind: int) -> str:
        key = (name, kind)
        if key not in self.casts:
            word = 'half' if kind == TensorProto.FLOAT16 else 'float'
            self.casts[key] = self._free(f'{name}_{word}')
            cast = helper.make_node('Cast', [name], [self.casts[key]], f'{name}_to_{word}', to=kind)
            self.made.append(cast)
        return self.casts[key]

    def _restore_outputs(self) -> None:
        """Give the graph's outputs their float32 back under their own names."""
        for name in self.index.outputs:
            if name not in self.half:
                continue
            inner = self._free(f'{name}_inner')
            for node in (*self.graph.node, *self.made):
                for names in (node.input, node.output):
                    for position, tensor in enumerate(names):
                        if tensor == name:
                            names[position] = inner
            cast = helper.make_node('Cast', [inner], [name], f'{name}_to_output', to=1)
            self.made.append(cast)

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += '_'
        self.taken.add(name)
        return name


def _rename(node: onnx.NodeProto, old: str, new: str) -> None:
    """Let the graphs inside a node read another tensor of the graph around them."""
    for graph in subgraphs(node):
        for inner in graph.node:
            for position, name in enumerate(inner.input):
                if name == old:
                    inner.input[position] = new
            _rename(inner, old, new)
