"""Inputs beside the image, filled with the same values for every frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.runtime.protocol import Runtime, Tensors
from trt_perception.tensor_spec import TensorSpec


def fed(runtime: Runtime, rows: Mapping[str, NDArray[Any]]) -> Runtime:
    """A network that asks for its image only.

    Args:
        runtime: the network.
        rows: by name, what its other inputs hold for one image, [1, ...]; may be empty.

    Returns:
        `runtime` itself if there are no rows. Closing either one closes both.
    """
    return _Fed(runtime, rows) if rows else runtime


class _Fed:
    """Adds the rows to what is inferred; implements `Runtime`."""

    def __init__(self, runtime: Runtime, rows: Mapping[str, NDArray[Any]]) -> None:
        self._runtime = runtime
        self._rows = dict(rows)

    @property
    def backend(self) -> str:
        return self._runtime.backend

    @property
    def precision(self) -> str:
        return self._runtime.precision

    @property
    def fingerprint(self) -> str:
        return self._runtime.fingerprint

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(tensor for tensor in self._runtime.inputs if tensor.name not in self._rows)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._runtime.outputs

    @property
    def max_batch(self) -> int | None:
        return self._runtime.max_batch

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """See `Runtime.infer`; the batch is that of the image."""
        images = max((len(tensor) for tensor in inputs.values()), default=1)
        sides = {name: np.repeat(row, images, axis=0) for name, row in self._rows.items()}
        return self._runtime.infer({**inputs, **sides})

    def close(self) -> None:
        self._runtime.close()
