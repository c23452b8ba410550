"""What only running a network can tell: whether its answer to one image can be used at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec


def check_first_answer(spec: ModelSpec, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a network that answers one plain grey image with NaN, or for several images.

    Decoders leave out what is not finite, so such a network would see nothing for ever. Infinity
    is allowed: it is the logarithm of 0.

    Args:
        spec: the model.
        outputs: all that the network returned for one image. Those of up to two axes may lack
            the one that counts images.

    Raises:
        ModelOutputError: it is such a network.
    """
    for name, values in outputs.items():
        if values.ndim > 2 and len(values) != 1:
            raise ModelOutputError(
                f'model {spec.name} ({spec.onnx}): {name} is {list(values.shape)} for 1 image: '
                'the first axis counts images. Export the model with a batch of 1, or with a '
                'dynamic one'
            )
        if not np.issubdtype(values.dtype, np.floating):
            continue
        wrong = np.count_nonzero(np.isnan(values))
        if wrong:
            raise ModelOutputError(
                f'model {spec.name} ({spec.onnx}): {name} holds NaN for a plain grey image, '
                f'{wrong} of {values.size} numbers are NaN. The weights are damaged, or numbers '
                'are too large for float16: export the model again, in float32'
            )
