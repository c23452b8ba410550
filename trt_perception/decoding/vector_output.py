"""The one vector that classification and embedding networks return for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.output_shapes import batch_of, is_float
from trt_perception.errors import ModelOutputError
from trt_perception.tensor_spec import TensorSpec


def choose_vector(family: str, outputs: Sequence[TensorSpec], wanted: str) -> TensorSpec:
    """The one floating-point output [B, D] or [B, D, 1, 1].

    Raises:
        ModelOutputError: there is none, or there are several.
    """
    found = [o for o in outputs if is_float(o) and _is_vector(o.shape)]
    if len(found) == 1:
        return found[0]
    advice = 'Export the model with that output only'
    if not found:
        advice = 'Check `family` and `onnx` in the YAML'
        if any(len(output.shape) >= 3 for output in outputs):
            advice = 'It looks like a detection or segmentation model; check `family` in the YAML'
    raise ModelOutputError(
        f'the family {family} wants one floating-point output, {wanted}; the file has '
        f'{len(found)}. {advice}'
    )


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))


def vectors_of(
    outputs: Mapping[str, NDArray[Any]], chosen: TensorSpec, images: int
) -> NDArray[np.float32]:
    """float32 [B, D] of one batch.

    Raises:
        ModelOutputError: the output is missing or has another shape than it was chosen for.
    """
    tensor = batch_of(outputs, chosen.name, len(chosen.shape), images)
    length = int(np.prod(tensor.shape[1:]))
    if not _is_vector(tensor.shape) or chosen.shape[1] not in (-1, length):
        raise ModelOutputError(
            f'{chosen.name} is {list(tensor.shape)}, but was configured as {list(chosen.shape)}. '
            'Use the ONNX file that the model was configured with'
        )
    return tensor.reshape(len(tensor), length).astype(np.float32, copy=False)
