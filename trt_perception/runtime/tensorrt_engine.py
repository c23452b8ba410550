"""An engine on the GPU, and the execution contexts that several workers have of it."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import numpy as np

from trt_perception.errors import BackendUnavailableError, EngineFileError, ModelFileError
from trt_perception.gpu.device import Gpu
from trt_perception.runtime.no_room import no_room_for
from trt_perception.runtime.tensorrt_flavour import (
    CudaEngine,
    CudaEngineForRtx,
    ExecutionContext,
    Flavour,
    TensorRT,
    TensorRTForRtx,
)
from trt_perception.runtime.tensorrt_messages import Messages, messages_of
from trt_perception.tensor_spec import TensorSpec

log = logging.getLogger(__name__)

SCRATCH = 'scratch memory of the network'


class TensorRTEngine:
    """One deserialised engine. Used in the GPU owner's thread only.

    Its contexts share the weights. Those that never overlap, since they work in one stream, can
    share the scratch memory as well.

    Attributes:
        flavour: whose it is.
        fingerprint: of the plan.
        inputs, outputs: in the order of the network.
    """

    def __init__(self, plan: bytes, flavour: Flavour, gpu: Gpu) -> None:
        """Deserialise an engine.

        Args:
            plan: the engine. Deserialising runs code: it must come from a trusted place.
            flavour: what built it, in exactly this version.
            gpu: where it shall run.

        Raises:
            EngineFileError: it was built for another TensorRT or GPU, or is damaged.
            GpuMemoryError: the GPU has no room for it.
            ModelFileError: it has an input or output that this package cannot feed.
        """
        trt: TensorRT = flavour.module
        self.flavour = flavour
        self.fingerprint = hashlib.sha256(plan).hexdigest()[:16]
        self.messages: Messages = messages_of(flavour.module)
        self.messages.clear()
        self._gpu = gpu
        self._buffers = gpu.buffers()
        runtime = trt.Runtime(self.messages.logger)
        self._runtime = runtime
        engine = runtime.deserialize_cuda_engine(plan)
        for warning in self.messages.warnings:
            log.warning('%s about the engine: %s', flavour, warning)
        if engine is None:
            raise no_room_for('the engine', self.said()) or EngineFileError(
                f'{flavour} does not take the engine: {self.said()}. It was built by another '
                f'version or for another GPU than {gpu.name}. Delete it in the folder that '
                '`trt_perception cache list` shows, and it is built anew'
            )
        self.engine: CudaEngine = engine
        self.inputs, self.outputs = _specs(trt, engine)

    def said(self) -> str:
        """The newest errors of TensorRT."""
        return '; '.join(self.messages.errors) or 'no reason given'

    @property
    def profiles(self) -> int:
        """Its optimisation profiles, at least 1."""
        return max(int(self.engine.num_optimization_profiles), 1)

    def extents(self, spec: TensorSpec, profile: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The least and the greatest shape of an input in an optimisation profile."""
        if -1 not in spec.shape:
            return spec.shape, spec.shape
        least, _, greatest = self.engine.get_tensor_profile_shape(spec.name, profile)
        return tuple(least), tuple(greatest)

    @property
    def scratch_bytes(self) -> int:
        """Memory that a context needs while it runs."""
        return int(self.engine.device_memory_size_v2)

    def context(self, *, shared_scratch: bool = False) -> ExecutionContext:
        """A new execution context.

        Args:
            shared_scratch: use one piece of memory with all other contexts made so. They must
                never run at the same time.

        Raises:
            BackendUnavailableError: TensorRT makes none.
            GpuMemoryError: the GPU has no room for it or its scratch memory.
        """
        trt: TensorRT = self.flavour.module
        self.messages.clear()
        strategies = trt.ExecutionContextAllocationStrategy
        strategy = strategies.USER_MANAGED if shared_scratch else strategies.STATIC
        if self.flavour.name == 'tensorrt-rtx':
            context = self._context_for_rtx(strategy)
        else:
            context = self.engine.create_execution_context(strategy)
        if context is None:
            raise no_room_for('an execution context', self.said()) or BackendUnavailableError(
                f'{self.flavour} cannot make an execution context: {self.said()}. End other '
                'programs on the GPU, or build with a smaller --batch or --workspace'
            )
        made: ExecutionContext = context
        if shared_scratch and self.scratch_bytes:
            address = self._buffers.device(SCRATCH, self.scratch_bytes)
            made.set_device_memory(address, self.scratch_bytes)
        return made

    def _context_for_rtx(self, strategy: Any) -> Any:
        """One whose launches TensorRT-RTX itself records as a CUDA graph."""
        trt: TensorRTForRtx = self.flavour.module
        engine: CudaEngineForRtx = self.engine
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return engine.create_execution_context(config)

    def close(self) -> None:
        """Free the engine, after its contexts."""
        self._gpu.release(self._buffers)
        for name in ('engine', '_runtime'):
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
