"""Finds the decoder of a model's family.

A family is one entry in `model_spec.FAMILIES` and one module of the same name in this package,
with a function `configure(spec, outputs) -> Decoder`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from trt_perception.decoding.output_shapes import describe
from trt_perception.decoding.protocol import Decoder
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import FAMILIES, ModelSpec
from trt_perception.tensor_spec import TensorSpec


def decoder_for(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> Decoder:
    """The decoder for a model, checked against what its network returns.

    Args:
        spec: the model.
        outputs: the network's outputs; extents it leaves open are checked with each batch.

    Raises:
        ModelSpecError: the family is unknown.
        ModelOutputError: the outputs' ranks, extents or types are not the family's.
    """
    if spec.family not in FAMILIES:
        raise ModelSpecError(
            f'{spec.name}: unknown family {spec.family!r}. Known: {", ".join(FAMILIES)}'
        )
    module = importlib.import_module(f'trt_perception.decoding.{spec.family}')
    configure: Callable[[ModelSpec, Sequence[TensorSpec]], Decoder] = module.configure
    try:
        return configure(spec, outputs)
    except ModelOutputError as error:
        raise ModelOutputError(
            f'model {spec.name} ({spec.onnx}): {error}. Outputs of the file: {describe(outputs)}'
        ) from None
