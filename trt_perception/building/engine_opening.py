"""Brings an engine of a model onto a device: out of the cache or built, gated, loaded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trt_perception.building.engine_cache import BuiltEngine, Engine, EngineCache
from trt_perception.building.engine_gate import EngineGate
from trt_perception.building.engines import (
    EngineRequest,
    Wish,
    building_gpu,
    obtain_engine,
    request_engine,
)
from trt_perception.building.opening import Watch
from trt_perception.building.precision import PRECISIONS, Precision
from trt_perception.errors import AccuracyError
from trt_perception.model_spec import ModelSpec, load_model_spec
from trt_perception.onnx_file import read_onnx
from trt_perception.pipeline.making import make_pipeline
from trt_perception.pipeline.perception import DEFAULT_USE, GpuUse, PerceptionPipeline
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.gpu_probes import Gpu
from trt_perception.runtime.protocol import Runtime
from trt_perception.runtime.selection import BackendChoice
from trt_perception.runtime.tensorrt_backend import shared_engine
from trt_perception.runtime.tensorrt_flavour import Flavour, find_flavour


@dataclass(frozen=True)
class EngineDevice:
    """What builds engines and executes them.

    Attributes:
        flavour: the TensorRT that builds.
        gpu: what it builds for; None where `targets` names it.
        execute: loads a plan of a precision.
        targets: see `engines.Wish`.
    """

    flavour: Flavour
    gpu: Gpu | None
    execute: Callable[[bytes, Precision], Runtime]
    targets: tuple[str, ...] = ()


def this_device(backend: str, gpu_use: GpuUse = DEFAULT_USE) -> EngineDevice:
    """This machine.

    Args:
        backend: one of `ENGINE_BACKENDS`.
        gpu_use: how its GPU is used.

    Raises:
        BackendUnavailableError: that TensorRT cannot be used.
    """
    flavour = find_flavour(backend)
    execute = functools.partial(_execute, flavour, gpu_use)
    return EngineDevice(flavour, building_gpu(), execute)


def ladder(precision: str, fallback: str) -> tuple[Precision, ...]:
    """The precisions to try one after the other: ('int8', 'fp16') for 'int8' and 'fp16'."""
    falling = PRECISIONS[::-1]
    start = next((i for i, name in enumerate(falling) if name == precision), 0)
    end = next((i for i, name in enumerate(falling) if name == fallback), start)
    return falling[start : max(start, end) + 1]


def loaded(
    spec: ModelSpec,
    plan: bytes,
    precision: Precision,
    device: EngineDevice,
    choice: BackendChoice,
    gpu_use: GpuUse = DEFAULT_USE,
) -> PerceptionPipeline:
    """An engine on its device, warmed up.

    Raises:
        PerceptionError: it cannot be executed, or its outputs are not the model's.
    """
    return make_pipeline(spec, device.execute(plan, precision), choice, gpu_use)


def gated(engine: Engine, request: EngineRequest, cache: EngineCache, gate: EngineGate) -> Engine:
    """The engine with figures of the gate in its header, also where it is kept.

    An engine has none that was built where it could not be executed, or where onnxruntime was
    missing. Where that still is so, its figures are {}.

    Raises:
        PerceptionError: the engine cannot be executed, or its outputs are not the model's.
    """
    if engine.facts.get('gate'):
        return engine
    facts = {**engine.facts, 'gate': gate.measure(engine.plan)}
    warnings = list(engine.warnings)
    if facts['gate'] and engine.path is not None:
        built = BuiltEngine(engine.plan, facts)
        warnings += cache.keep(request.identity, built, label=request.spec.name)
    return replace(engine, facts=facts, warnings=tuple(warnings))


def _execute(flavour: Flavour, gpu_use: GpuUse, plan: bytes, precision: Precision) -> Runtime:
    shared = shared_engine(
        plan,
        flavour,
        precision,
        cameras=gpu_use.cameras,
        context_each=gpu_use.context_each,
        concurrent=gpu_use.concurrent,
    )
    return DeviceNetwork(shared.open, stream_of=shared.stream)


@dataclass(frozen=True)
class EngineOpening:
    """One model's way onto one device.

    Attributes:
        device: what builds and executes.
        choice: why this backend.
        watch: how it is watched.
        cache: where engines are kept.
        gpu_use: how a GPU is used.
        max_batch: images in one inference at most.
    """

    device: EngineDevice
    choice: BackendChoice
    watch: Watch
    cache: EngineCache
    gpu_use: GpuUse = DEFAULT_USE
    max_batch: int = 1

    def open(self, model_yaml: Path, precisions: tuple[Precision, ...]) -> PerceptionPipeline:
        """The model in the first of these precisions whose engine is accurate enough.

        Raises:
            AccuracyError: none is.
            PerceptionError: see `opening.open_built_pipeline`.
        """
        spec = load_model_spec(model_yaml)
        for precision in precisions:
            wish = Wish(precision, self._batch(spec), targets=self.device.targets)
            request = request_engine(spec, model_yaml, wish, self.device.flavour, self.device.gpu)
            gate = EngineGate(spec, precision, request.ranges, self.device.execute)
            engine = self._engine(request, gate)
            try:
                verified = gate.verdict(engine.facts['gate'])
            except AccuracyError as error:
                if precision == precisions[-1]:
                    raise
                self.watch.warn(f'falling back from {precision}: {error}')
                continue
            self.watch.tell(f'{spec.name} {precision}: {verified}')
            choice = replace(self.choice, verified=verified)
            return loaded(spec, engine.plan, precision, self.device, choice, self.gpu_use)
        raise AssertionError('no precision to try')

    def _batch(self, spec: ModelSpec) -> tuple[int, int, int] | None:
        """The range of batches, where there is one to choose."""
        (images, *_) = read_onnx(spec.onnx).inputs
        if self.max_batch == 1 or images.shape[:1] != (-1,):
            return None
        return 1, self.max_batch, self.max_batch

    def _engine(self, request: EngineRequest, gate: EngineGate) -> Engine:
        """The engine, with figures of the gate if there can be any."""
        engine = obtain_engine(
            request, self.cache, control=self.watch.control, on_wait=self.watch.tell, gate=gate
        )
        what = f'{request.spec.name} {request.wish.precision}'
        self.watch.tell(
            f'engine of {what}: {engine.reason}'
            if engine.origin == 'cache'
            else f'engine of {what} built in {engine.facts["build_seconds"]} s: {engine.reason}'
        )
        engine = gated(engine, request, self.cache, gate)
        for warning in engine.warnings:
            self.watch.warn(warning)
        return engine
