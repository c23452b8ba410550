"""What every inference backend offers to the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from trt_perception.tensor_spec import TensorSpec

Tensors = dict[str, NDArray[Any]]


class LoadedNetwork(Protocol):
    """What is known of a network that is ready to run, wherever it does.

    Attributes:
        backend: 'onnxruntime-cpu', 'onnxruntime-cuda', 'tensorrt', ...
        precision: 'fp32', 'fp16' or 'int8'.
        fingerprint: identifies the very network that runs (hash of its file or engine).
        inputs, outputs: in the network's order.
        max_batch: images in one call at most; None where nothing but memory bounds them.
    """

    @property
    def backend(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def max_batch(self) -> int | None: ...


class Runtime(LoadedNetwork, Protocol):
    """A network that takes arrays and gives arrays. Used by one thread at a time."""

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run the network once.

        Args:
            inputs: one array per input, of its dtype and shape.

        Returns:
            One array per output. Valid until the next call: a backend may reuse its buffers.

        Raises:
            InferenceError: the backend failed.
        """
        ...

    def close(self) -> None:
        """Free what the network holds. Further calls to `infer` are an error."""
        ...
