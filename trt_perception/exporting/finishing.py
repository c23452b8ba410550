"""The last steps of an export: simplified, with metadata, checked."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper

from trt_perception.building.onnx_graph import name_nodes
from trt_perception.errors import ExportError, MissingDependencyError


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with constants folded and needless nodes taken away.

    Raises:
        MissingDependencyError: onnxslim is not installed.
        ExportError: it fails on this graph.
    """
    try:
        import onnxslim
    except ImportError as error:
        raise MissingDependencyError(
            'simplifying a network needs onnxslim: `pip install onnxslim`, or '
            "`pip install 'trt_perception[export]'`; --no-simplify leaves it out"
        ) from error
    try:
        slim: onnx.ModelProto = onnxslim.slim(model)
    except Exception as error:  # whatever its rules stumble on
        raise ExportError(
            f'onnxslim cannot simplify this network ({type(error).__name__}: {error}). '
            'Use --no-simplify'
        ) from error
    return slim


def set_metadata(model: onnx.ModelProto, values: Mapping[str, str]) -> None:
    """Add to the file's metadata; what is there under the same key gives way."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**kept, **values})


def checked(model: onnx.ModelProto, origin: str) -> onnx.ModelProto:
    """The network with every node named and every shape inferred, once ONNX accepts it.

    Raises:
        ExportError: it does not.
    """
    name_nodes(model.graph)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except Exception as error:  # of either library's own types
        raise ExportError(f'{origin}: the network is no valid ONNX: {error}') from error
    return inferred
