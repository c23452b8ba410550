"""Loads an ONNX file for the builder: checked, with every node named, in order of execution."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, numpy_helper, version_converter

from trt_perception.building.graph_files import external_files, subgraphs
from trt_perception.errors import ModelFileError
from trt_perception.onnx_file import MOST_BYTES, parse_model, read_model

OLDEST_OPSET = 11
"""Older operator sets take attributes for inputs; exporters have not written them since 2019."""

QUANTISABLE_OPSET = 19
"""The first operator set in which Q/DQ may take float16 (ONNX operator changelog)."""

_DEFAULT = ('', 'ai.onnx')


def graph_digest(path: Path) -> str:
    """SHA-256, in hex, of an ONNX file and of all external data that it points to.

    Raises:
        ModelFileError: the file or its external data is missing, damaged or outside its folder.
    """
    digest = hashlib.sha256()
    digest.update(read_model(path))
    for file in external_files(path, parse_model(path)):
        with open(file, 'rb') as data:
            while block := data.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def load_graph(path: Path) -> onnx.ModelProto:
    """Load an ONNX file with its external data.

    In the result constants are initialisers, every node has a name of its own (that of the
    file where it has one) and the nodes are sorted.

    Raises:
        ModelFileError: see `graph_digest`; or it is too large, its operator set too old, it
            computes in float64, two nodes write the same tensor, or a tensor comes from nowhere.
    """
    model = parse_model(path)
    external = external_files(path, model)
    size = path.stat().st_size + sum(file.stat().st_size for file in external)
    if size > MOST_BYTES:
        raise ModelFileError(
            f'{path}: {size / 2**30:.1f} GiB with its external data; an ONNX model in memory '
            'holds at most 2 GiB. Export it in float16, or choose a smaller model'
        )
    external_data_helper.load_external_data_for_model(model, str(path.parent))
    check_graph(model, str(path))
    constants_to_initialisers(model.graph)
    name_nodes(model.graph)
    sort_nodes(model.graph, str(path))
    return model


def check_graph(model: onnx.ModelProto, origin: str) -> None:
    """Refuse what no builder here can take.

    Raises:
        ModelFileError: no nodes, inputs or outputs, an operator set that is too old, float64, or
            a tensor that is written twice.
    """
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in weights]
    if not inputs or not graph.output or not graph.node:
        raise ModelFileError(
            f'{origin}: the graph has {len(inputs)} inputs, {len(graph.node)} nodes and '
            f'{len(graph.output)} outputs; each must be at least 1'
        )
    opset = opset_of(model)
    if opset < OLDEST_OPSET:
        raise ModelFileError(
            f'{origin}: opset {opset} is too old; at least {OLDEST_OPSET} is needed. '
            f'Export it again with opset {QUANTISABLE_OPSET}'
        )
    doubles = [name for name, kind in _declared_types(graph) if kind == TensorProto.DOUBLE]
    if doubles:
        raise ModelFileError(
            f'{origin}: {len(doubles)} tensors are float64, among them {", ".join(doubles[:3])}; '
            'TensorRT has no float64. Export the network in float32'
        )
    written = Counter(name for node in graph.node for name in node.output if name)
    written.update([*inputs, *weights])
    twice = sorted(name for name, count in written.items() if count > 1)
    if twice:
        raise ModelFileError(
            f'{origin}: tensor {twice[0]!r} is written more than once. The file is not valid '
            'ONNX; export it again'
        )


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set; 0 if the model names none."""
    return max(
        (entry.version for entry in model.opset_import if entry.domain in _DEFAULT), default=0
    )


def raise_opset(model: onnx.ModelProto, opset: int, origin: str) -> onnx.ModelProto:
    """The model in at least this operator set, named and sorted as by `load_graph`.

    Raises:
        ModelFileError: it cannot be converted.
    """
    if opset_of(model) >= opset:
        return model
    try:
        raised = version_converter.convert_version(model, opset)
    except Exception as error:  # the converter is C++ and raises bare RuntimeErrors
        raise ModelFileError(
            f'{origin}: cannot be converted from opset {opset_of(model)} to {opset}: {error}. '
            f'Export it with opset {opset}'
        ) from error
    constants_to_initialisers(raised.graph)
    name_nodes(raised.graph)
    sort_nodes(raised.graph, origin)
    return raised


def constants_to_initialisers(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes, and Identity nodes of constants, into initialisers."""
    # A constant that is itself an output stays a node: something has to write it.
    outputs = {value.name for value in graph.output}
    known = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        tensor = None if node.output[0] in outputs else _constant_value(node, known)
        if tensor is None:
            kept.append(node)
            continue
        tensor.name = node.output[0]
        known[tensor.name] = tensor
        graph.initializer.append(tensor)
    if len(kept) < len(graph.node):
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)


def name_nodes(graph: onnx.GraphProto) -> None:
    """Name every node that has no name, or one that another node has.

    The name is made of the operator and of the first tensor that the node writes, so that it
    is the same whenever the file is loaded.
    """
    taken = {name for name, count in Counter(n.name for n in graph.node).items() if count == 1}
    for node in graph.node:
        if node.name and node.name in taken:
            continue
        base = f'{node.name or node.op_type}_{node.output[0] if node.output else ""}'
        name = base
        number = 1
        while name in taken:
            number += 1
            name = f'{base}_{number}'
        node.name = name
        taken.add(name)


def sort_nodes(graph: onnx.GraphProto, origin: str) -> None:
    """Put every node behind those whose outputs it reads; keeps the order otherwise.

    Raises:
        ModelFileError: nodes form a circle, or a tensor is read that nothing writes.
    """
    nodes = list(graph.node)
    ready = {value.name for value in graph.input}
    ready |= {tensor.name for tensor in graph.initializer}
    ready |= {tensor.values.name for tensor in graph.sparse_initializer}
    made_by = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    reads = [set(_reads(node)) - ready for node in nodes]
    for index, names in enumerate(reads):
        nowhere = sorted(name for name in names if name not in made_by)
        if nowhere:
            raise ModelFileError(
                f'{origin}: node {nodes[index].name} reads tensor {nowhere[0]!r}, which nothing '
                'writes. The file is truncated or not valid ONNX; export it again'
            )
    order = _execution_order([{made_by[name] for name in names} for names in reads])
    if len(order) < len(nodes):
        stuck = next(node for i, node in enumerate(nodes) if i not in set(order))
        raise ModelFileError(
            f'{origin}: node {stuck.name} depends on itself. The file is not valid ONNX'
        )
    if order != list(range(len(nodes))):
        copies = [onnx.NodeProto.FromString(nodes[i].SerializeToString()) for i in order]
        del graph.node[:]
        graph.node.extend(copies)


def captured(node: onnx.NodeProto) -> set[str]:
    """Tensors that the graphs inside a node read from around them."""
    names: set[str] = set()
    for graph in subgraphs(node):
        own = {value.name for value in graph.input}
        own |= {tensor.name for tensor in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        names |= {name for inner in graph.node for name in _reads(inner)} - own
        names |= {value.name for value in graph.output} - own
    return names


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from (name for name in node.input if name)
    yield from captured(node)


def _execution_order(needs: list[set[int]]) -> list[int]:
    """Indices such that all that an index needs come before it; lacks those in a circle."""
    followers: list[list[int]] = [[] for _ in needs]
    for index, needed in enumerate(needs):
        for other in needed:
            followers[other].append(index)
    waiting = [len(needed) for needed in needs]
    free = [index for index, count in enumerate(waiting) if not count]
    order = []
    while free:
        index = heapq.heappop(free)
        order.append(index)
        for follower in followers[index]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(free, follower)
    return order


def _constant_value(
    node: onnx.NodeProto, known: dict[str, onnx.TensorProto]
) -> onnx.TensorProto | None:
    """What a node always writes, as a new tensor; None if it has to run."""
    if node.op_type == 'Identity' and node.input[0] in known:
        copy = onnx.TensorProto()
        copy.CopyFrom(known[node.input[0]])
        return copy
    if node.op_type != 'Constant' or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name == 'value':
        copy = onnx.TensorProto()
        copy.CopyFrom(attribute.t)
        return copy
    kinds = {
        'value_float': 'float32',
        'value_floats': 'float32',
        'value_int': 'int64',
        'value_ints': 'int64',
    }
    if attribute.name not in kinds:
        return None
    value = onnx.helper.get_attribute_value(attribute)
    return numpy_helper.from_array(np.asarray(value, kinds[attribute.name]))


def _declared_types(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor.data_type
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name, value.type.tensor_type.elem_type
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField('t') and attribute.t.data_type == TensorProto.DOUBLE:
                yield node.output[0], TensorProto.DOUBLE
            if node.op_type == 'Cast' and attribute.name == 'to':
                yield node.output[0], attribute.i
