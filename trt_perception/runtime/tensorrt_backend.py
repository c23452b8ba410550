"""Runs an engine by TensorRT or TensorRT-RTX.

Follows "Performing inference" of the TensorRT developer guide: one execution context and one
stream; buffers as large as the optimisation profile allows, whose addresses are set once;
page-locked memory on the host.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import (
    BackendUnavailableError,
    EngineFileError,
    InferenceError,
    ModelFileError,
)
from trt_perception.runtime.cuda_context import cuda_context, import_pycuda
from trt_perception.runtime.protocol import Tensors
from trt_perception.runtime.tensorrt_flavour import CudaEngine, ExecutionContext, Flavour, TensorRT
from trt_perception.runtime.tensorrt_messages import Messages, messages_of
from trt_perception.tensor_spec import TensorSpec


@dataclass
class _Buffer:
    """The memory of one input or output, for the largest batch.

    Attributes:
        host: page-locked, [elements].
        device: pycuda's allocation of as many bytes.
    """

    host: NDArray[Any]
    device: Any

    def view(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The first elements, in a shape."""
        return self.host[: math.prod(shape)].reshape(shape)


class TensorRTRuntime:
    """One engine, ready to run; implements `runtime.protocol.Runtime`.

    Any thread may use it, one at a time: no call leaves a CUDA context behind in its thread.
    """

    def __init__(self, plan: bytes, flavour: Flavour, precision: str) -> None:
        """Deserialise an engine and allocate all that it needs.

        Args:
            plan: the engine. Deserialising runs code: it must come from a trusted place.
            flavour: what built it, in exactly this version.
            precision: what it was built in.

        Raises:
            BackendUnavailableError: pycuda or a GPU is missing, or the GPU's memory is full.
            EngineFileError: it was built for another TensorRT or GPU, or is damaged.
            ModelFileError: it has an input or output that this package cannot feed.
        """
        self.backend: str = flavour.name
        self.precision = precision
        self.fingerprint = hashlib.sha256(plan).hexdigest()[:16]
        self._cuda = import_pycuda()
        self._flavour = flavour
        self._messages: Messages = messages_of(flavour.module)
        self._buffers: dict[str, _Buffer] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._closed = False
        with cuda_context():
            try:
                self._load(plan)
            except self._cuda.Error as error:
                self._free()
                raise BackendUnavailableError(
                    f'{flavour}: the GPU has no room for the network: {error}. End other '
                    'programs on it, or build with a smaller --batch or --workspace'
                ) from error
            except BaseException:
                self._free()
                raise

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """See `Runtime.infer`."""
        if self._closed:
            raise InferenceError('the network has been closed')
        with cuda_context(), self._failing():
            return self._infer(inputs)

    def close(self) -> None:
        """See `Runtime.close`."""
        if self._closed:
            return
        with cuda_context():
            self._free()

    def _load(self, plan: bytes) -> None:
        trt: TensorRT = self._flavour.module
        self._messages.clear()
        runtime = trt.Runtime(self._messages.logger)
        self._runtime = runtime
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineFileError(
                f'{self._flavour} does not take the engine: {self._said()}. It was built by '
                'another version or for another GPU. Delete it in the folder that '
                '`trt_perception cache list` shows, and it is built anew'
            )
        self._engine: CudaEngine = engine
        context = engine.create_execution_context()
        if context is None:
            raise BackendUnavailableError(
                f'{self._flavour} cannot make an execution context: {self._said()}. End other '
                'programs on the GPU, or build with a smaller --batch or --workspace'
            )
        self._context: ExecutionContext = context
        self._stream = self._cuda.Stream()
        # The engine has one profile, number 0; see `building/optimization_profiles.py`.
        if not context.set_optimization_profile_async(0, self._stream.handle):
            raise InferenceError(f'{self._flavour} refuses the profile: {self._said()}')
        self._stream.synchronize()
        self.inputs, self.outputs = _specs(trt, engine)
        greatest = self._extents(self.inputs[0])[1]
        self.max_batch: int | None = greatest[0] if greatest else None
        self._allocate()

    def _allocate(self) -> None:
        """Buffers for the largest shapes, and their addresses."""
        for spec in self.inputs:
            self._set_shape(spec.name, self._extents(spec)[1])
        for spec in (*self.inputs, *self.outputs):
            shape = tuple(self._context.get_tensor_shape(spec.name))
            if min(shape, default=0) < 0:
                raise ModelFileError(
                    f'{spec.name}: its extents {shape} depend on the image. Export the network '
                    'without that operator (post-processing belongs outside)'
                )
            elements = max(1, math.prod(shape))
            host = self._cuda.pagelocked_empty(elements, spec.dtype)
            buffer = _Buffer(host, self._cuda.mem_alloc(host.nbytes))
            self._buffers[spec.name] = buffer
            if not self._context.set_tensor_address(spec.name, int(buffer.device)):
                raise InferenceError(
                    f'{self._flavour} refuses the memory of {spec.name}: {self._said()}'
                )

    def _infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        self._messages.clear()
        for spec in self.inputs:
            value = inputs[spec.name]
            if value.shape != self._shapes[spec.name]:
                self._check_shape(spec, value.shape)
                self._set_shape(spec.name, value.shape)
            buffer = self._buffers[spec.name]
            staged = buffer.view(value.shape)
            np.copyto(staged, value, casting='no')
            self._cuda.memcpy_htod_async(buffer.device, staged, self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise InferenceError(f'{self._flavour} failed: {self._said()}')
        outputs = {}
        for spec in self.outputs:
            buffer = self._buffers[spec.name]
            result = buffer.view(tuple(self._context.get_tensor_shape(spec.name)))
            self._cuda.memcpy_dtoh_async(result, buffer.device, self._stream)
            outputs[spec.name] = result
        self._stream.synchronize()
        return outputs

    def _extents(self, spec: TensorSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The least and the greatest shape of an input."""
        if -1 not in spec.shape:
            return spec.shape, spec.shape
        least, _, greatest = self._engine.get_tensor_profile_shape(spec.name, 0)
        return tuple(least), tuple(greatest)

    def _check_shape(self, spec: TensorSpec, shape: tuple[int, ...]) -> None:
        least, greatest = self._extents(spec)
        within = len(shape) == len(least) and all(
            low <= extent <= high for low, extent, high in zip(least, shape, greatest, strict=True)
        )
        if not within:
            raise InferenceError(
                f'{spec.name}: the engine takes {least} to {greatest}, not {shape}. Build it with '
                '--batch for as many images'
            )

    def _set_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if not self._context.set_input_shape(name, shape):
            raise InferenceError(f'{name}: {self._flavour} refuses {shape}: {self._said()}')
        self._shapes[name] = shape

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (self._cuda.Error, ValueError, TypeError) as error:
            raise InferenceError(f'{self._flavour} failed: {error}; {self._said()}') from error

    def _said(self) -> str:
        return '; '.join(self._messages.errors) or 'no reason given'

    def _free(self) -> None:
        """Give everything back, within the CUDA context, the last made first."""
        self._closed = True
        for buffer in self._buffers.values():
            buffer.device.free()
        # The host's part goes with its last view: a result that somebody keeps stays readable.
        self._buffers.clear()
        for name in ('_context', '_engine', '_stream', '_runtime'):
            self.__dict__.pop(name, None)


def _specs(
    trt: TensorRT, engine: CudaEngine
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs, in the order of the network."""
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        try:
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
        except TypeError as error:
            raise ModelFileError(
                f'{name}: numpy has no type for it ({error}). Export the network with float32 '
                'inputs and outputs'
            ) from error
        spec = TensorSpec(name, dtype, tuple(engine.get_tensor_shape(name)))
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(spec)
    return tuple(inputs), tuple(outputs)
