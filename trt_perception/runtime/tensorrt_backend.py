"""Runs an engine by TensorRT or TensorRT-RTX, on memory and in a stream that are given.

Follows "Performing inference" of the TensorRT developer guide: one execution context and one
stream for each worker, addresses set once, `execute_async_v3`, and a CUDA graph of its launches
where shapes and addresses stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from trt_perception.errors import InferenceError, MissingDependencyError, ModelFileError
from trt_perception.gpu.cuda_driver import Stream
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.graphs import CudaGraph
from trt_perception.runtime.device_protocol import Shapes, shape_key
from trt_perception.runtime.layer_times import LayerTime, medians
from trt_perception.runtime.no_room import no_room_for
from trt_perception.runtime.profile_shapes import outside_profile
from trt_perception.runtime.shared_network import Closed, SharedNetwork, contexts_wanted
from trt_perception.runtime.tensorrt_engine import TensorRTEngine
from trt_perception.runtime.tensorrt_flavour import (
    ExecutionContext,
    Flavour,
    TensorRT,
)
from trt_perception.tensor_spec import TensorSpec

log = logging.getLogger(__name__)

Record = Callable[[Stream, Callable[[], None]], CudaGraph]


def shared_engine(
    plan: bytes,
    flavour: Flavour,
    precision: str,
    *,
    cameras: int = 1,
    context_each: bool = False,
    concurrent: bool = False,
) -> SharedNetwork[TensorRTEngine]:
    """An engine for any number of workers, each with an execution context.

    Where the engine has several optimisation profiles, they take one each, in turn. Several
    contexts in one stream never overlap, and so they share their scratch memory.

    Args:
        plan, flavour: see `TensorRTEngine`.
        precision: what it was built in.
        cameras, context_each: see `contexts_wanted`.
        concurrent: see `SharedNetwork`.
    """

    def load(gpu: Gpu, stream: Stream) -> TensorRTEngine:
        return TensorRTEngine(plan, flavour, gpu)

    def context(
        engine: TensorRTEngine, stream: Stream, number: int, closed: Closed
    ) -> TensorRTDevice:
        profile = number % engine.profiles
        _, greatest = engine.extents(engine.inputs[0], profile)
        several = contexts_wanted(greatest[0], cameras, each=context_each) > 1
        return TensorRTDevice(
            engine,
            precision,
            stream,
            profile=profile,
            shared_scratch=several and not concurrent,
            on_close=closed,
        )

    return SharedNetwork(load, context, concurrent=concurrent)


class TensorRTDevice:
    """One worker's execution context; implements `device_protocol.DeviceRuntime`."""

    def __init__(
        self,
        engine: TensorRTEngine,
        precision: str,
        stream: Stream,
        *,
        profile: int = 0,
        shared_scratch: bool = False,
        on_close: Closed | None = None,
        record: Record | None = CudaGraph,
    ) -> None:
        """Make the context.

        Args:
            engine: the network.
            precision: what it was built in.
            stream: in which the context works.
            profile: optimisation profile; contexts that run at the same time take each its own.
            shared_scratch: see `TensorRTEngine.context`.
            on_close: called when the context is gone.
            record: makes a graph; None keeps none.

        Raises:
            PerceptionError: see `TensorRTEngine.context`.
            InferenceError: the engine has no such profile.
        """
        self.backend: str = engine.flavour.name
        self.precision = precision
        self.fingerprint = engine.fingerprint
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._engine = engine
        self._stream = stream
        self._profile = profile
        self._on_close = on_close
        # TensorRT-RTX records for itself; see `TensorRTEngine.context`.
        self._record = None if self.backend == 'tensorrt-rtx' else record
        self._graphs: dict[object, CudaGraph] = {}
        self._ran = False  # since shapes or addresses were set
        self._addresses: Mapping[str, int] = {}
        self._bound: object = None
        self._context: ExecutionContext = engine.context(shared_scratch=shared_scratch)
        if not self._context.set_optimization_profile_async(profile, stream.handle):
            raise InferenceError(f'{engine.flavour} refuses profile {profile}: {engine.said()}')
        stream.synchronize()
        self.max_batch: int | None = engine.extents(self.inputs[0], profile)[1][0]

    def shapes(self, inputs: Shapes) -> Shapes:
        """See `DeviceRuntime.shapes`."""
        self._bound = None
        for spec in self.inputs:
            self._set_shape(spec, inputs[spec.name])
        shapes = {
            spec.name: tuple(self._context.get_tensor_shape(spec.name))
            for spec in (*self.inputs, *self.outputs)
        }
        for name, shape in shapes.items():
            if min(shape, default=0) < 0:
                raise ModelFileError(
                    f'{name}: its extents {shape} depend on the image. Export the network '
                    'without that operator (post-processing belongs outside)'
                )
        return shapes

    def bind(self, inputs: Shapes, addresses: Mapping[str, int]) -> None:
        """See `DeviceRuntime.bind`."""
        key = shape_key(inputs)
        if addresses != self._addresses:
            self._drop_graphs()
            for name, address in addresses.items():
                if not self._context.set_tensor_address(name, address):
                    raise InferenceError(f'{name}: its memory is refused: {self._engine.said()}')
            self._addresses = dict(addresses)
        if key != self._bound:
            for spec in self.inputs:
                self._set_shape(spec, inputs[spec.name])
            self._bound = key
            self._ran = False

    def enqueue(self) -> None:
        """See `DeviceRuntime.enqueue`. The second run of a shape is recorded for later ones.

        It has to follow the first one at once: with the first run after a change of shape TensorRT
        brings its own state up to date, which must not be recorded. See "CUDA Graphs" in NVIDIA's
        developer guide of TensorRT.
        """
        key = self._bound
        graph = self._graphs.get(key)
        if graph is None and self._record is not None and self._ran:
            graph = self._recorded(key)
        if graph is not None:
            graph.launch()
        else:
            self._execute()
            self._ran = True

    def layers(self, runs: int) -> list[LayerTime]:
        """How long each layer takes with what was bound last, without a graph."""
        told: list[tuple[str, str, float]] = []
        trt: TensorRT = self._engine.flavour.module

        class Profiler(trt.IProfiler):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IProfiler.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                told.append((layer_name, '', ms))

        profiler = Profiler()  # named here: TensorRT does not keep it alive
        self._context.profiler = profiler
        try:
            for _ in range(runs + 2):
                self._execute()
                self._stream.synchronize()
        finally:
            self._context.profiler = None  # NVIDIA's pyEngine.cpp: its setter takes a pointer
        return medians(told, skipped=2)

    def close(self) -> None:
        """See `DeviceRuntime.close`."""
        self._drop_graphs()
        self.__dict__.pop('_context', None)
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _execute(self) -> None:
        self._engine.messages.clear()
        if not self._context.execute_async_v3(self._stream.handle):
            said = f'{self._engine.flavour} failed: {self._engine.said()}'
            raise no_room_for('this batch', said) or InferenceError(said)

    def _recorded(self, key: object) -> CudaGraph | None:
        assert self._record is not None
        self._stream.synchronize()
        try:
            self._graphs[key] = self._record(self._stream, self._execute)
        except (InferenceError, MissingDependencyError) as error:
            self._record = None  # and so it stays: it would fail alike for every frame
            log.info('the network runs without a CUDA graph: %s', error)
            return None
        return self._graphs[key]

    def _drop_graphs(self) -> None:
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()
        self._ran = False

    def _set_shape(self, spec: TensorSpec, shape: tuple[int, ...]) -> None:
        self._check_shape(spec, shape)
        if not self._context.set_input_shape(spec.name, shape):
            flavour, said = self._engine.flavour, self._engine.said()
            raise InferenceError(f'{spec.name}: {flavour} refuses {shape}: {said}')

    def _check_shape(self, spec: TensorSpec, shape: tuple[int, ...]) -> None:
        least, greatest = self._engine.extents(spec, self._profile)
        problem = outside_profile(spec.name, shape, least, greatest)
        if problem:
            raise InferenceError(problem)
