"""Whether the input of a network is an image as its model says."""

from __future__ import annotations

from typing import Any

import numpy as np

from trt_perception.errors import ModelFileError
from trt_perception.model_spec import ModelSpec
from trt_perception.runtime.protocol import Runtime


def image_type(spec: ModelSpec, runtime: Runtime) -> np.dtype[Any]:
    """The type of the network's image input, once it is known to fit the model.

    Raises:
        ModelFileError: there are other inputs, or this one is of another form, size or type.
    """
    if len(runtime.inputs) != 1:
        names = ', '.join(tensor.name for tensor in runtime.inputs)
        raise ModelFileError(
            f'{spec.onnx}: has {len(runtime.inputs)} inputs ({names}); '
            f'family {spec.family} takes one image'
        )
    tensor = runtime.inputs[0]
    width, height = spec.input.size
    wanted = (3, height, width)
    fits = len(tensor.shape) == 4 and all(
        have in (-1, want) for have, want in zip(tensor.shape[1:], wanted, strict=True)
    )
    if not fits:
        raise ModelFileError(
            f'{spec.onnx}: input {tensor.name} is {list(tensor.shape)}, but input.size '
            f'{width}x{height} of model {spec.name} needs [batch, 3, {height}, {width}]. '
            'Correct `input: size` in the model YAML, or export the network with that size'
        )
    if tensor.shape[0] not in (-1, 1):
        raise ModelFileError(
            f'{spec.onnx}: input {tensor.name} is {list(tensor.shape)}: the network takes '
            f'{tensor.shape[0]} images at a time, no more and no fewer, but images come one by '
            'one. Export it with a batch of 1, or with a dynamic one'
        )
    if tensor.dtype not in (np.float32, np.float16, np.uint8):
        raise ModelFileError(
            f'{spec.onnx}: input {tensor.name} is of type {tensor.dtype}; '
            'float32, float16 and uint8 are supported. Export it with one of these'
        )
    return tensor.dtype
