"""What an ONNX file says of itself: tensors, opset, metadata. Weights are not interpreted."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trt_perception.errors import ModelFileError
from trt_perception.protobuf_message import DamagedMessageError, Message
from trt_perception.tensor_spec import TensorSpec

if TYPE_CHECKING:
    import onnx

MOST_BYTES = 2**31 - 1
"""Most that one protobuf message, and so one ONNX model in memory, may hold."""


@dataclass(frozen=True)
class OnnxFile:
    """The interface of one ONNX file.

    Attributes:
        path: where it lies.
        opset: version of the default operator set.
        inputs, outputs: tensors, without the weights; -1 for open extents.
        metadata: the file's `metadata_props`.
        operators: for each output the type of the operator that computes its values, such as
            'Softmax'; what only moves or converts them is looked through. Outputs that are
            joined from the results of different operators are missing.
        operator_types: of all operators of the graph.
    """

    path: Path
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    operators: dict[str, str] = field(default_factory=dict)
    operator_types: frozenset[str] = frozenset()

    def input_size(self) -> tuple[int, int] | None:
        """(width, height) of the first input if it is an image of fixed size, else None."""
        shape = self.inputs[0].shape
        if len(shape) != 4:
            return None
        height, width = shape[1:3] if self.layout == 'NHWC' else shape[2:4]
        return (width, height) if width > 0 and height > 0 else None

    @property
    def layout(self) -> str:
        """'NCHW' or 'NHWC' for a first input of four axes, told by the three channels; else ''."""
        shape = self.inputs[0].shape
        if len(shape) != 4:
            return ''
        return 'NHWC' if shape[3] == 3 and shape[1] != 3 else 'NCHW'

    def class_names(self) -> tuple[str, ...]:
        """Names from metadata `names`, a list or an {index: name} mapping as text; else ().

        Raises:
            ModelFileError: the entry is there but is neither.
        """
        text = self.metadata.get('names')
        if text is None:
            return ()
        value = literal(text)
        if isinstance(value, dict):
            try:
                value = [value[key] for key in sorted(value, key=int)]
            except (TypeError, ValueError):
                value = None
        if not isinstance(value, (list, tuple)) or not all(isinstance(n, str) for n in value):
            raise ModelFileError(
                f'{self.path}: metadata `names` is neither a list of names nor an '
                f'{{index: name}} mapping: {text[:80]!r}. State `classes` in the model YAML'
            )
        return tuple(value)


def read_onnx(path: Path) -> OnnxFile:
    """Read the interface of an ONNX file.

    Raises:
        ModelFileError: missing, unreadable, too large, truncated, not ONNX, or without inputs or
            outputs.
    """
    data = read_model(path)
    try:
        return _describe(path, Message(memoryview(data)))
    except DamagedMessageError as error:
        raise _damaged(path, data) from error


def read_model(path: Path) -> bytes:
    """The bytes of an ONNX file.

    Raises:
        ModelFileError: it is missing, cannot be read, or is too large.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ModelFileError(
                f'{path}: {size / 2**30:.1f} GiB; an ONNX file holds at most 2 GiB. '
                'Export it in float16, or choose a smaller model'
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f'{path}: no such ONNX file. Check `onnx` in the model YAML') from None
    except OSError as error:
        raise ModelFileError(f'{path}: cannot be read: {error}') from error


def parse_model(path: Path) -> onnx.ModelProto:
    """The model as the file has it; external data is not loaded.

    Raises:
        ModelFileError: the file is missing, too large or damaged.
    """
    # Here, since a node needs it for nothing but building an engine: see `protobuf_message`.
    import onnx
    from google.protobuf.message import DecodeError

    data = read_model(path)
    try:
        return onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise _damaged(path, data) from error


def _damaged(path: Path, data: bytes) -> ModelFileError:
    return ModelFileError(
        f'{path}: not an ONNX file, or truncated ({len(data)} bytes). Export it again'
    )


# Numbers of the fields in onnx.proto. They never change: files would become unreadable.
_GRAPH, _OPSETS, _METADATA = 7, 8, 14  # of the model
_NODES, _INITIALIZERS, _INPUTS, _OUTPUTS = 1, 5, 11, 12  # of the graph
_DIMENSION_VALUE = 1

_DTYPES: Mapping[int, Any] = {
    0: np.void,
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    8: np.object_,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
    14: np.complex64,
    15: np.complex128,
}
"""By the number of the type in onnx.proto. Further ones are types of a library of their own."""


class _Node(NamedTuple):
    kind: str
    inputs: list[str]
    outputs: list[str]


def _describe(path: Path, model: Message) -> OnnxFile:
    graph = model.message(_GRAPH)
    weights = {tensor.text(8) for tensor in graph.messages(_INITIALIZERS)}
    inputs = tuple(v for v in map(_tensor, graph.messages(_INPUTS)) if v.name not in weights)
    outputs = tuple(map(_tensor, graph.messages(_OUTPUTS)))
    nodes = [_Node(n.text(4), n.texts(1), n.texts(2)) for n in graph.messages(_NODES)]
    if not inputs or not outputs or not nodes:
        raise ModelFileError(
            f'{path}: the graph has {len(inputs)} inputs, {len(nodes)} nodes and '
            f'{len(outputs)} outputs; each must be at least 1. The file is truncated or no network'
        )
    opsets = model.messages(_OPSETS)
    opset = max((entry.number(2) for entry in opsets if not entry.text(1)), default=0)
    metadata = {entry.text(1): entry.text(2) for entry in model.messages(_METADATA)}
    operators = _operators(nodes, [output.name for output in outputs])
    kinds = frozenset(node.kind for node in nodes)
    return OnnxFile(path, opset, inputs, outputs, metadata, operators, kinds)


_MOVING = frozenset(
    {'Identity', 'Cast', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose'}
    | {'QuantizeLinear', 'DequantizeLinear'}
)
"""Operators that leave the values of their first input as they are."""


def _operators(nodes: Sequence[_Node], outputs: Sequence[str]) -> dict[str, str]:
    """The type of the operator behind each output, where there is one."""
    makers = {name: node for node in nodes for name in node.outputs}
    found = {}
    for output in outputs:
        pending, seen, kinds = [output], set(), set()
        while pending:
            node = makers.get(pending.pop())
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if node.kind in _MOVING:
                pending.append(node.inputs[0])
            elif node.kind == 'Concat':
                pending.extend(node.inputs)
            else:
                kinds.add(node.kind)
        if len(kinds) == 1:
            found[output] = kinds.pop()
    return found


def _tensor(value: Message) -> TensorSpec:
    tensor = value.message(2).message(1)
    dimensions = tensor.message(2).messages(1)
    extents = (
        d.number(_DIMENSION_VALUE) if d.has_number(_DIMENSION_VALUE) else -1 for d in dimensions
    )
    return TensorSpec(value.text(1), _dtype(tensor.number(1)), tuple(extents))


def _dtype(number: int) -> np.dtype[Any]:
    if number in _DTYPES:
        known: np.dtype[Any] = np.dtype(_DTYPES[number])
        return known
    from onnx import helper

    named: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(number)
    return named


def literal(text: str) -> Any:
    """A JSON or Python literal, such as a list or mapping in metadata; None if it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None
