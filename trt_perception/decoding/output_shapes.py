"""What a family expects of the network's outputs, checked when it is configured and per batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ModelOutputError
from trt_perception.tensor_spec import TensorSpec


def describe(outputs: Sequence[TensorSpec]) -> str:
    """The outputs for an error text, such as 'output0 float32 [-1, 84, 8400]'."""
    return ', '.join(f'{o.name} {o.dtype} {list(o.shape)}' for o in outputs) or 'none'


def is_float(output: TensorSpec) -> bool:
    """Whether the output holds floating-point numbers, of any width."""
    return np.issubdtype(output.dtype, np.floating)


def matches(extent: int, expected: int) -> bool:
    """Whether an extent is `expected` or left open (-1)."""
    return extent in (-1, expected)


def batch_of(
    outputs: Mapping[str, NDArray[Any]], name: str, rank: int, images: int
) -> NDArray[Any]:
    """One output of a batch, with rank and number of images checked.

    Raises:
        ModelOutputError: it is missing, has another rank, or holds fewer images.
    """
    tensor = outputs.get(name)
    if tensor is None:
        raise ModelOutputError(
            f'the backend returned no output {name!r}; it returned: {", ".join(outputs) or "none"}'
        )
    if tensor.ndim != rank or len(tensor) < images:
        raise ModelOutputError(
            f'{name} has the shape {list(tensor.shape)}, but {rank} axes and at least '
            f'{images} images in the first one are needed. Use the ONNX file that the model was '
            'configured with'
        )
    return tensor
