"""The files of an ONNX network, as they lie on disk: its own, and those of its external data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import external_data_helper

from trt_perception.errors import ModelFileError


def external_files(path: Path, model: onnx.ModelProto) -> list[Path]:
    """The files that hold weights of the model, each once, sorted.

    Raises:
        ModelFileError: one is missing, too short, or lies outside the model's folder.
    """
    folder = path.parent.resolve()
    files: dict[Path, int] = {}
    for tensor in _all_tensors(model.graph):
        if not external_data_helper.uses_external_data(tensor):
            continue
        info = external_data_helper.ExternalDataInfo(tensor)
        file = Path(os.path.normpath(folder / info.location))
        # A link inside the folder may still lead out of it.
        if not (file.is_relative_to(folder) and file.resolve().is_relative_to(folder)):
            raise ModelFileError(
                f'{path}: the weights of {tensor.name!r} are to be read from {info.location!r}, '
                'outside the folder of the ONNX file; that is refused. Put the data beside it'
            )
        end = (info.offset or 0) + (info.length or 0)
        files[file] = max(files.get(file, 0), end)
    for file, needed in files.items():
        if not file.is_file():
            raise ModelFileError(
                f'{path}: its external data {file.name} is missing in {folder}. '
                'Copy it there, or export the network into one file'
            )
        if file.stat().st_size < needed:
            raise ModelFileError(
                f'{path}: its external data {file.name} has {file.stat().st_size} bytes, '
                f'but {needed} are needed. It is cut off; copy it again'
            )
    return sorted(files)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node, as those of If and Loop."""
    for attribute in node.attribute:
        if attribute.HasField('g'):
            yield attribute.g
        yield from attribute.graphs


def _all_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField('t'):
                yield attribute.t
            yield from attribute.tensors
        for inner in subgraphs(node):
            yield from _all_tensors(inner)
