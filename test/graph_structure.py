"""Whether a prepared graph is one that TensorRT accepts and runs fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto

from trt_perception.building.graph_index import WEIGHTED, GraphIndex
from trt_perception.building.onnx_graph import QUANTISABLE_OPSET, opset_of

QUANTISED = frozenset([*WEIGHTED, 'Add', 'MaxPool'])
"""Operators that may read a quantised tensor."""

_FLOATS: dict[int, str] = {TensorProto.FLOAT: 'float32', TensorProto.FLOAT16: 'float16'}


def structural_faults(model: onnx.ModelProto) -> list[str]:
    """What is wrong with a prepared graph, one sentence each; empty if nothing is.

    Checks names, order and operator set; that quantisation is int8, symmetric, positive, one
    scale per activation and one per output channel of a weight; that no bias is quantised; that
    a weighted layer reads int8 on both sides or on none; that a residual addition reads it on
    one at most; and that no layer reads float32 and float16 together.
    """
    faults = list(_naming(model))
    if faults:
        return faults
    index = GraphIndex(model)
    for node in model.graph.node:
        if node.op_type == 'QuantizeLinear':
            faults += _quantiser(index, node)
        elif node.op_type == 'DequantizeLinear':
            faults += _dequantiser(index, node)
        else:
            faults += _layer(index, node)
    return faults


def _naming(model: onnx.ModelProto) -> Iterator[str]:
    names = Counter(node.name for node in model.graph.node)
    yield from (f'{count} nodes are named {name!r}' for name, count in names.items() if count > 1)
    if '' in names:
        yield 'a node has no name'
    known = {v.name for v in model.graph.input} | {t.name for t in model.graph.initializer}
    for node in model.graph.node:
        yield from (f'{node.name} stands before {n}' for n in node.input if n and n not in known)
        known |= set(node.output)
    yield from (f'domain {e.domain}' for e in model.opset_import if e.domain not in ('', 'ai.onnx'))
    quantised = any(node.op_type == 'QuantizeLinear' for node in model.graph.node)
    if quantised and opset_of(model) < QUANTISABLE_OPSET:
        yield f'Q/DQ in opset {opset_of(model)}'


def _quantiser(index: GraphIndex, node: onnx.NodeProto) -> Iterator[str]:
    data, scale_name, zero_name = node.input
    scale, zero = index.value(scale_name), index.value(zero_name)
    values = np.asarray(scale, np.float64)
    if zero.dtype != np.int8 or np.any(zero):
        yield f'{node.name}: zero point {zero.dtype} {zero.ravel()[:3]}'
    if not (np.isfinite(values).all() and (values > 0).all()):
        yield f'{node.name}: a scale is not positive'
    if index.types.get(data) != index.types.get(scale_name):
        yield f'{node.name}: scale and data differ in type'
    if scale.size > 1 and data not in index.weights:
        yield f'{node.name}: an activation has {scale.size} scales'
    readers = {reader.op_type for reader in index.consumers.get(node.output[0], ())}
    if readers != {'DequantizeLinear'}:
        yield f'{node.name}: read by {sorted(readers)}'


def _dequantiser(index: GraphIndex, node: onnx.NodeProto) -> Iterator[str]:
    source = index.producer.get(node.input[0])
    if source is None or source.op_type != 'QuantizeLinear':
        yield f'{node.name}: does not follow a quantiser'
    elif list(source.input[1:]) != list(node.input[1:]):
        yield f'{node.name}: other parameters than its quantiser'
    for reader in index.consumers.get(node.output[0], ()):
        if reader.op_type not in QUANTISED:
            yield f'{node.name}: read by {reader.op_type} {reader.name}'


def _layer(index: GraphIndex, node: onnx.NodeProto) -> Iterator[str]:
    behind = [index.producer.get(name) for name in node.input]
    narrow = [n is not None and n.op_type == 'DequantizeLinear' for n in behind]
    kinds = {index.types.get(n, 0) for n in node.input} & _FLOATS.keys()
    if len(kinds) > 1 and node.op_type != 'Resize':
        yield f'{node.name}: reads {" and ".join(sorted(_FLOATS[k] for k in kinds))}'
    if node.op_type == 'Add' and all(narrow):
        yield f'{node.name}: both summands are quantised'
    if node.op_type not in WEIGHTED:
        return
    if narrow[0] is not narrow[1]:
        yield f'{node.name}: quantised on one side only'
    if any(narrow[2:]):
        yield f'{node.name}: its bias is quantised'
    if narrow[1] and behind[1] is not None:
        scales = index.value(behind[1].input[1]).size
        weight = index.shapes[node.input[1]]
        axis = next((a.i for a in behind[1].attribute if a.name == 'axis'), None)
        if axis is None or scales != weight[axis]:
            yield f'{node.name}: {scales} scales for a weight {weight}, axis {axis}'
