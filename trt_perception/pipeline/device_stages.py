"""What the device pipeline asks of kernels, and where it gets them.

The kernels themselves are in the room `kernels`; tests put the CPU's references in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.protocol import Decoder
from trt_perception.gpu.cuda_driver import Stream
from trt_perception.gpu.device import Gpu
from trt_perception.kernels.decoders import DeviceDecoder, device_decoder
from trt_perception.kernels.launching import DeviceKernels, Launcher
from trt_perception.kernels.letterbox import DeviceImage, LetterboxKernel
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Result
from trt_perception.runtime.device_protocol import Shapes
from trt_perception.tensor_spec import TensorSpec


class LetterboxStage(Protocol):
    """Camera bytes to network input, for images of any sizes and encodings."""

    def enqueue(
        self, images: Sequence[DeviceImage], tensor: int, stream: Stream
    ) -> list[Letterbox]:
        """Queue the filling of `tensor` [B, 3, h, w]; returns where each image was placed."""
        ...


class Stages(Protocol):
    """Makes the stages of one model. Made, used and closed in the GPU owner's thread."""

    def letterbox(self, spec: InputSpec, dtype: np.dtype[Any]) -> LetterboxStage: ...

    def decode(
        self, spec: ModelSpec, outputs: Sequence[TensorSpec], pictures: bool
    ) -> DeviceDecoder | None:
        """None where no kernel does it.

        Args:
            spec: the model.
            outputs: of the network, with the extents of one batch.
            pictures: whether results bring their pictures; see `PerceptionPipeline`.
        """
        ...

    def close(self) -> None:
        """Free the kernels."""
        ...


MakeStages = Callable[[Gpu], Stages]


class KernelStages:
    """The stages by the kernels of this package."""

    def __init__(self, launcher: Launcher) -> None:
        """Take what starts kernels."""
        self._launcher = launcher

    @classmethod
    def of(cls, gpu: Gpu) -> KernelStages:
        """With kernels compiled for a GPU."""
        return cls(DeviceKernels(gpu.driver, gpu.capability))

    def letterbox(self, spec: InputSpec, dtype: np.dtype[Any]) -> LetterboxStage:
        """See `Stages`."""
        return LetterboxKernel(self._launcher, spec, dtype)

    def decode(
        self, spec: ModelSpec, outputs: Sequence[TensorSpec], pictures: bool
    ) -> DeviceDecoder | None:
        """See `Stages`."""
        return device_decoder(self._launcher, spec, outputs, pictures=pictures)

    def close(self) -> None:
        """See `Stages`."""
        if isinstance(self._launcher, DeviceKernels):
            self._launcher.close()


class HostDecode:
    """Decodes on the CPU, for the families that have no kernel: all outputs are copied back."""

    def __init__(
        self, decoder: Decoder, gpu: Gpu, outputs: Sequence[TensorSpec], shapes: Shapes
    ) -> None:
        """For outputs of these shapes."""
        self._decoder = decoder
        self._driver = gpu.driver
        self._parts: dict[str, tuple[int, int, np.dtype[Any], tuple[int, ...]]] = {}
        start = 0
        for spec in outputs:
            shape = shapes[spec.name]
            nbytes = math.prod(shape) * spec.dtype.itemsize
            self._parts[spec.name] = start, nbytes, spec.dtype, shape
            start += -(-nbytes // 256) * 256
        self._nbytes = start

    def scratch_bytes(self, letterboxes: Sequence[Letterbox]) -> int:
        """See `DeviceDecoder`."""
        return 0

    def result_bytes(self, letterboxes: Sequence[Letterbox]) -> int:
        """See `DeviceDecoder`."""
        return self._nbytes

    def head_bytes(self, letterboxes: Sequence[Letterbox]) -> int:
        """See `DeviceDecoder`."""
        return self._nbytes

    def enqueue(
        self,
        outputs: Mapping[str, int],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
        scratch: int,
        result: int,
        stream: Stream,
    ) -> None:
        """See `DeviceDecoder`. The copy frees the outputs for the next batch at once."""
        for name, (start, nbytes, _, _) in self._parts.items():
            self._driver.memcpy_dtod_async(result + start, outputs[name], nbytes, stream)

    def ask_less(self) -> None:
        """See `DeviceDecoder`. Never more is asked for than is needed."""

    def rest(self, result: NDArray[np.uint8], letterboxes: Sequence[Letterbox]) -> list[slice]:
        """See `DeviceDecoder`."""
        return []

    def read(
        self,
        result: NDArray[np.uint8],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """See `DeviceDecoder`."""
        tensors = {
            # A copy: a decoder may return views of what it was given.
            name: result[start : start + nbytes].view(dtype).reshape(shape).copy()
            for name, (start, nbytes, dtype, shape) in self._parts.items()
        }
        return self._decoder.decode(tensors, letterboxes, settings)
