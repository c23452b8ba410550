"""From a torch module or an ONNX file to an ONNX file that needs no YAML."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from trt_perception.building.onnx_graph import load_graph, opset_of, raise_opset
from trt_perception.errors import ExportError, OutputError, PerceptionError
from trt_perception.exporting.argmax import add_argmax
from trt_perception.exporting.channels_first import take_channels_first
from trt_perception.exporting.comparison import (
    greatest_difference,
    outputs_of,
    random_images,
)
from trt_perception.exporting.finishing import checked, set_metadata, simplified
from trt_perception.exporting.suppression import FAMILY, SuppressionOptions, add_suppression
from trt_perception.exporting.torch_module import answers_of, load_module, to_onnx
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.onnx_file import OnnxFile, read_onnx

OLDEST_OPSET = 13
"""The surgery takes axes as inputs, as operator sets from here on do."""


@dataclass(frozen=True)
class Export:
    """What to export.

    Attributes:
        source: 'module:factory', or the path of an ONNX file.
        out: where the ONNX file goes.
        weights: of a torch module; None keeps those that the factory gives.
        size: (width, height) of the input; needed for a torch module.
        metadata: `family`, `task`, `names`, `mean`, `scale` and so on, as `load_model_spec`
            reads them.
        argmax: return class ids of a semantic model.
        suppression: return few objects of a detection model; None leaves it as it is.
        open_batch: leave the number of images of a torch module open.
        simplify: fold constants and drop needless nodes.
    """

    source: str
    out: Path
    weights: Path | None = None
    size: tuple[int, int] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    argmax: bool = False
    suppression: SuppressionOptions | None = None
    open_batch: bool = True
    simplify: bool = True


@dataclass(frozen=True)
class Exported:
    """What came of it.

    Attributes:
        path: of the ONNX file.
        nodes: in its graph.
        difference: from the original on random images, as a share of the largest value.
        compared_with: 'torch' or the name of the original file; '' where input of a kind that
            random images cannot give was needed.
        spec: the file as a model; None where it does not say enough of itself.
        asks: what it does not say.
    """

    path: Path
    nodes: int
    difference: float
    compared_with: str
    spec: ModelSpec | None
    asks: str = ''


def export(wanted: Export) -> Exported:
    """Export, check and compare.

    Raises:
        ExportError: the network cannot be exported, or the file computes something else.
        ModelFileError, ModelSpecError: the source cannot be used.
        MissingDependencyError: torch or onnxslim is needed and not installed.
        OutputError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / wanted.out.name
        difference, compared_with = _plain(wanted, plain)
        model = load_graph(plain)
        if wanted.argmax or wanted.suppression is not None:
            model = _with_surgery(wanted, model, plain)
        if wanted.simplify:
            model = simplified(model)
        _write(checked(model, wanted.source), wanted.out)
    spec, asks = None, ''
    try:
        spec = load_model_spec(wanted.out)
    except PerceptionError as error:
        asks = str(error)
    nodes = len(model.graph.node)
    return Exported(wanted.out, nodes, difference, compared_with, spec, asks)


def _plain(wanted: Export, path: Path) -> tuple[float, str]:
    """Write the network as it is, simplified and with metadata; compare it with the original."""
    if wanted.source.endswith('.onnx'):
        original = Path(wanted.source)
        model = load_graph(original)
        file = read_onnx(original)
        turned = take_channels_first(model, file)
        set_metadata(model, wanted.metadata)
        _write(checked(model, wanted.source), path)
        images = random_images(_image_shape(read_onnx(path), wanted.size))
        before = images.transpose(0, 2, 3, 1) if turned else images
        if len(file.inputs) > 1:
            return 0.0, ''
        expected = list(outputs_of(original, np.ascontiguousarray(before)).values())
        compared_with = original.name
    else:
        if wanted.size is None:
            raise ExportError('a torch module needs the size of its input: --size WIDTHxHEIGHT')
        network = load_module(wanted.source, wanted.weights)
        model = to_onnx(network, wanted.size, open_batch=wanted.open_batch)
        set_metadata(model, wanted.metadata)
        _write(checked(model, wanted.source), path)
        batch = 2 if wanted.open_batch else 1
        images = random_images((batch, 3, wanted.size[1], wanted.size[0]))
        expected = answers_of(network, images)
        compared_with = 'torch'
    found = outputs_of(path, images)
    return greatest_difference(expected, found, str(wanted.out)), compared_with


def _with_surgery(wanted: Export, model: onnx.ModelProto, plain: Path) -> onnx.ModelProto:
    if opset_of(model) < OLDEST_OPSET:
        model = raise_opset(model, OLDEST_OPSET, wanted.source)
    file = read_onnx(plain)
    if wanted.argmax:
        add_argmax(model, file)
        set_metadata(model, {'family': 'semantic', 'task': 'semantic'})
        return model
    assert wanted.suppression is not None
    spec = load_model_spec(plain)
    add_suppression(model, file, spec, wanted.suppression)
    # What was usual for the family that it was has to be said from now on.
    taken = spec.input
    set_metadata(
        model,
        {
            'family': FAMILY,
            'task': spec.task,
            'names': json.dumps(spec.class_names),
            'color_order': taken.color_order,
            'mean': json.dumps(taken.mean),
            'scale': json.dumps(taken.scale),
            'resize': taken.resize,
            'pad': taken.pad,
        },
    )
    return model


def _image_shape(file: OnnxFile, size: tuple[int, int] | None) -> tuple[int, ...]:
    fixed = file.input_size()
    if fixed and size and fixed != size:
        raise ExportError(
            f'{file.path.name}: takes images of {fixed[0]}x{fixed[1]} and no others, which --size '
            f'{size[0]}x{size[1]} cannot change. Export what it was made from in that size'
        )
    width, height = fixed or size or (0, 0)
    if not width:
        raise ExportError(
            f'{file.path.name}: the file leaves the size of its input open; say --size WIDTHxHEIGHT'
        )
    return max(file.inputs[0].shape[0], 1), 3, height, width


def _write(model: onnx.ModelProto, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, str(path))
    except OSError as error:
        raise OutputError(f'{path}: cannot be written: {error}') from error
