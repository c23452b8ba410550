"""Nodes added to an ONNX graph, and what then nobody reads any more removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from trt_perception.building.onnx_graph import captured, opset_of


class GraphEditing:
    """Adds nodes behind a graph's outputs; every name begins with one prefix.

    Attributes:
        model: is changed in place.
    """

    def __init__(self, model: onnx.ModelProto, prefix: str) -> None:
        """Start with a model of operator set 13 or later.

        Args:
            model: checked; see `building.onnx_graph.load_graph`.
            prefix: of all new names, such as '/suppression'.
        """
        self.model = model
        self._prefix = prefix
        self._opset = opset_of(model)
        self._made = 0

    def constant(self, value: NDArray[Any] | float) -> str:
        """The name of a new constant; a number is a float32."""
        array = np.asarray(value, np.float32) if isinstance(value, float) else np.asarray(value)
        name = self._name('constant')
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def add(
        self, operator: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        """Add a node; returns the name of its first output."""
        name = self._name(operator)
        names = list(outputs) or [f'{name}_out']
        self.model.graph.node.append(
            helper.make_node(operator, list(inputs), names, name, **attributes)
        )
        return names[0]

    def slice(self, tensor: str, begin: int, end: int, axis: int) -> str:
        """Part of a tensor along one axis."""
        numbers = (np.array([value], np.int64) for value in (begin, end, axis))
        return self.add('Slice', tensor, *(self.constant(number) for number in numbers))

    def maximum(self, tensor: str, axis: int) -> str:
        """The greatest value along one axis, which stays with extent 1."""
        if self._opset < 18:
            return self.add('ReduceMax', tensor, axes=[axis], keepdims=1)
        return self.add('ReduceMax', tensor, self.constant(np.array([axis], np.int64)), keepdims=1)

    def transposed(self, tensor: str) -> str:
        """[B, M, N] -> [B, N, M]."""
        return self.add('Transpose', tensor, perm=[0, 2, 1])

    def finish(self, name: str, tensor: str, dtype: int, shape: Sequence[int | str]) -> None:
        """Make a tensor that was added the graph's only output, and drop what is not read then.

        Args:
            name: of the output; another tensor of this name gets another one.
            tensor: as `add` called it.
            dtype: its ONNX type.
            shape: numbers, and names for open extents.
        """
        # The tensor itself is renamed: TensorRT has uint8 only where it leaves the network.
        renamed = {name: f'{self._prefix}/{name}_before', tensor: name}
        graph = self.model.graph
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [renamed.get(each, each) for each in names]
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        remove_unread(graph)

    def _name(self, kind: str) -> str:
        self._made += 1
        return f'{self._prefix}/{kind}_{self._made}'


def remove_unread(graph: onnx.GraphProto) -> None:
    """Drop nodes and constants that no output depends on."""
    makers = {name: node for node in graph.node for name in node.output}
    pending = [output.name for output in graph.output]
    read = set(pending)
    while pending:
        node = makers.get(pending.pop())
        if node is None:
            continue
        fresh = {*node.input, *captured(node)} - read
        read |= fresh
        pending.extend(fresh)
    nodes = [node for node in graph.node if read.intersection(node.output)]
    weights = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
