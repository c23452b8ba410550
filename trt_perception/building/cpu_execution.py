"""Makes a prepared graph one that onnxruntime's CPU provider computes as TensorRT would.

onnxruntime's CPU provider has float16 kernels for few operators. It computes the others in
float32 and drops the roundings in between, so that a float16 network looks better than it is;
and in release 1.23, the newest for Python 3.10, its QuantizeLinear cuts float16 off where the
operator is to round, so that an int8 network looks worse than it is. Both were measured on
single operators with releases 1.23.2 and 1.31.1.

The graph made here computes every operator in float32 and rounds each of its float16 results
by a cast of its own. TensorRT rounds at most as often: it fuses operators.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trt_perception.building.graph_index import GraphIndex
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime

_HALF = TensorProto.FLOAT16


def for_onnxruntime(model: bytes) -> bytes:
    """The same network for onnxruntime's CPU provider; unchanged if it has no float16.

    Args:
        model: ONNX bytes of a prepared graph, see `precision.prepare_graph`.
    """
    proto = onnx.load_model_from_string(model)
    index = GraphIndex(proto)
    if _HALF not in index.types.values():
        return model
    _Widening(proto, index).run()
    return proto.SerializeToString()


class _Widening:
    """The state of one rewrite: which float16 tensors are to be had in float32 already."""

    def __init__(self, proto: onnx.ModelProto, index: GraphIndex) -> None:
        self.graph = proto.graph
        self.index = index
        self.wide: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        for node in list(self.graph.node):
            if node.op_type == 'Cast':
                self.nodes.append(node)
                continue
            for position, name in enumerate(node.input):
                if self._is_half(name):
                    node.input[position] = self._widened(name)
            rounded = [(i, name) for i, name in enumerate(node.output) if self._is_half(name)]
            self.nodes.append(node)
            for position, name in rounded:
                node.output[position] = f'{name}_unrounded'
                self._cast(f'{name}_unrounded', name, _HALF)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(copies)

    def _is_half(self, name: str) -> bool:
        return self.index.types.get(name) == _HALF

    def _widened(self, name: str) -> str:
        if name not in self.wide:
            self.wide[name] = f'{name}_widened'
            if name in self.index.weights:
                value = np.asarray(self.index.value(name), np.float32)
                self.graph.initializer.append(numpy_helper.from_array(value, self.wide[name]))
            else:
                self._cast(name, self.wide[name], TensorProto.FLOAT)
        return self.wide[name]

    def _cast(self, source: str, result: str, kind: int) -> None:
        self.nodes.append(helper.make_node('Cast', [source], [result], f'{result}_cast', to=kind))


def open_network(model: bytes, *, threads: int | None = None) -> OnnxRuntime:
    """Load ONNX bytes with onnxruntime on the CPU, as they are.

    Args:
        model: at most 2 GiB.
        threads: CPU threads; None leaves the choice to onnxruntime.

    Raises:
        ModelFileError: onnxruntime cannot load them.
        BackendUnavailableError: onnxruntime is not installed.
    """
    with tempfile.TemporaryDirectory(prefix='trt_perception_') as folder:
        path = Path(folder) / 'network.onnx'
        path.write_bytes(model)
        return OnnxRuntime(path, threads=threads)
