"""What a family expects of the network's outputs, checked when it is configured and per batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
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


def choose_output(
    outputs: Sequence[TensorSpec], rank: int, wanted: str, spec: ModelSpec
) -> TensorSpec:
    """The one floating-point output of `rank` axes.

    Args:
        outputs: of the network.
        rank: of the output.
        wanted: what it is and its shape, for the error text.
        spec: the model.

    Raises:
        ModelOutputError: there is none, or more than one.
    """
    chosen = [o for o in outputs if len(o.shape) == rank and is_float(o)]
    if len(chosen) == 1:
        return chosen[0]
    advice = 'Check `family` and `task` in the YAML, or export the model again'
    ranks = {len(o.shape) for o in outputs}
    if ranks == {2} and len(outputs) == 1:
        advice = 'It looks like a classification model, which finds no objects: ' + advice
    elif 5 in ranks and 3 not in ranks:
        advice = (
            'It has the raw maps of the head, which still need the grid and the anchors: export '
            'it for inference, with `export.py` (for YOLOv7 with --grid)'
        )
    raise ModelOutputError(
        f'the family {spec.family} wants one floating-point output with {rank} axes, {wanted}; '
        f'the file has {len(chosen)}. {advice}'
    )


def check_batches(outputs: Sequence[TensorSpec]) -> None:
    """Make sure that all outputs are of one batch.

    Raises:
        ModelOutputError: two of them have a fixed number of images, and not the same.
    """
    fixed = {o.shape[0] for o in outputs if o.shape and o.shape[0] != -1}
    if len(fixed) > 1:
        raise ModelOutputError(
            'the outputs are of batches of different sizes: the first axis, which counts images, '
            f'is {" and ".join(map(str, sorted(fixed)))}. Export the model again with one batch '
            'size, or with a dynamic one'
        )


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
