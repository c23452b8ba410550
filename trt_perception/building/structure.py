"""What TensorRT refuses in a graph that is quantised already."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from trt_perception.building.graph_index import GraphIndex


def refused_quantisers(index: GraphIndex) -> list[str]:
    """What TensorRT refuses in a graph that came with quantisers of its own, a sentence each."""
    faults = []
    for node in index.nodes.values():
        if node.op_type not in ('QuantizeLinear', 'DequantizeLinear'):
            continue
        zero = index.value(node.input[2]) if node.input[2:] and node.input[2] else None
        if index.types.get(node.input[0]) == TensorProto.INT32:
            faults.append(f'{node.name} dequantises int32, as of a bias')
        elif zero is None or zero.dtype != np.int8:
            faults.append(f'{node.name} is not int8')
        elif np.any(zero):
            faults.append(f'{node.name} has a zero point other than 0')
    return faults
