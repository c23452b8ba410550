"""Finds the decoder of a model's family.

A family is one entry in `families.FAMILIES` and one module of the same name in this package,
with a function `configure(spec, outputs) -> Decoder`. Where its networks take more than an image,
it has a function `side_inputs(spec, inputs)` too; see `side_inputs_for`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from trt_perception.decoding.output_shapes import describe
from trt_perception.decoding.protocol import Decoder
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.families import FAMILIES
from trt_perception.model_spec import ModelSpec
from trt_perception.tensor_spec import TensorSpec


def decoder_for(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> Decoder:
    """The decoder for a model, checked against what its network returns.

    Args:
        spec: the model.
        outputs: the network's outputs; extents it leaves open are checked with each batch.

    Raises:
        ModelSpecError: the family is unknown, there are no classes, or an option is wrong.
        ModelOutputError: the outputs' ranks, extents or types are not the family's.
    """
    if spec.family not in FAMILIES:
        raise ModelSpecError(
            f'{spec.name}: unknown family {spec.family!r}. Known: {", ".join(FAMILIES)}'
        )
    if not spec.classes and spec.task != 'embed':
        raise ModelSpecError(
            f'{spec.name}: the model has no classes. List the names of its classes under `classes`'
        )
    configure: Callable[[ModelSpec, Sequence[TensorSpec]], Decoder] = _module(spec).configure
    try:
        return configure(spec, outputs)
    except ModelOutputError as error:
        raise ModelOutputError(
            f'model {spec.name} ({spec.onnx}): {error}. Outputs of the file: {describe(outputs)}'
        ) from None


def side_inputs_for(spec: ModelSpec, inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """What the network's inputs beside the image are filled with.

    Args:
        spec: the model.
        inputs: the network's inputs.

    Returns:
        For each of them one row [1, ...] of its type, the same for every image of a batch. Empty
        for families that take an image only.

    Raises:
        ModelOutputError: the family wants other inputs than the file has.
    """
    fill: Callable[[ModelSpec, Sequence[TensorSpec]], dict[str, NDArray[Any]]] | None = getattr(
        _module(spec), 'side_inputs', None
    )
    if fill is None:
        return {}
    try:
        return fill(spec, inputs)
    except ModelOutputError as error:
        raise ModelOutputError(
            f'model {spec.name} ({spec.onnx}): {error}. Inputs of the file: {describe(inputs)}'
        ) from None


def _module(spec: ModelSpec) -> ModuleType:
    return importlib.import_module(f'trt_perception.decoding.{spec.family}')
