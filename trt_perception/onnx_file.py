"""What an ONNX file says of itself: tensors, opset, metadata. Weights are not interpreted."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trt_perception.errors import ModelFileError
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
    return _describe(path, parse_model(path))


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
    # Here, since cameras and overlays read no ONNX file: it takes a tenth of a node's start.
    import onnx
    from google.protobuf.message import DecodeError

    data = read_model(path)
    try:
        return onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelFileError(
            f'{path}: not an ONNX file, or truncated ({len(data)} bytes). Export it again'
        ) from error


def _describe(path: Path, model: onnx.ModelProto) -> OnnxFile:
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = tuple(_tensor(value) for value in graph.input if value.name not in weights)
    outputs = tuple(_tensor(value) for value in graph.output)
    if not inputs or not outputs or not graph.node:
        raise ModelFileError(
            f'{path}: the graph has {len(inputs)} inputs, {len(graph.node)} nodes and '
            f'{len(outputs)} outputs; each must be at least 1. The file is truncated or no network'
        )
    opset = max((entry.version for entry in model.opset_import if not entry.domain), default=0)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    kinds = frozenset(node.op_type for node in graph.node)
    return OnnxFile(path, opset, inputs, outputs, metadata, _operators(graph), kinds)


_MOVING = frozenset(
    {'Identity', 'Cast', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose'}
    | {'QuantizeLinear', 'DequantizeLinear'}
)
"""Operators that leave the values of their first input as they are."""


def _operators(graph: onnx.GraphProto) -> dict[str, str]:
    """The type of the operator behind each output, where there is one."""
    makers = {name: node for node in graph.node for name in node.output}
    found = {}
    for output in graph.output:
        pending, seen, kinds = [output.name], set(), set()
        while pending:
            node = makers.get(pending.pop())
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if node.op_type in _MOVING:
                pending.append(node.input[0])
            elif node.op_type == 'Concat':
                pending.extend(node.input)
            else:
                kinds.add(node.op_type)
        if len(kinds) == 1:
            found[output.name] = kinds.pop()
    return found


def _tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    from onnx import helper

    tensor = value.type.tensor_type
    extents = (d.dim_value if d.HasField('dim_value') else -1 for d in tensor.shape.dim)
    dtype: np.dtype[Any] = np.dtype(np.void)
    if tensor.elem_type:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorSpec(value.name, dtype, tuple(extents))


def literal(text: str) -> Any:
    """A JSON or Python literal, such as a list or mapping in metadata; None if it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None
