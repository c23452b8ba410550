"""From a model and a wish to an engine: out of the cache, or prepared, built and kept."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trt_perception.building.build_progress import BuildControl
from trt_perception.building.calibration_ranges import CalibrationRanges, load_ranges, ranges_path
from trt_perception.building.device_facts import cuda_runtime_version
from trt_perception.building.engine_cache import BuiltEngine, Engine, EngineCache
from trt_perception.building.engine_identity import (
    CudaIdentity,
    EngineIdentity,
    GpuIdentity,
    PlatformIdentity,
    TensorRTIdentity,
)
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.network_stride import network_stride
from trt_perception.building.onnx_graph import graph_digest, load_graph
from trt_perception.building.optimization_profiles import (
    Profile,
    SizeRange,
    check_multiples,
    profiles_for,
)
from trt_perception.building.peak_memory import peak_memory_bytes
from trt_perception.building.precision import (
    Precision,
    PreparedGraph,
    converter_versions,
    prepare_graph,
)
from trt_perception.building.tensorrt_builder import (
    RTX_TARGETS,
    BuildOptions,
    BuiltPlan,
    build_plan,
)
from trt_perception.building.timing_cache import keep_timing_cache, load_timing_cache
from trt_perception.decoding.registry import side_inputs_for
from trt_perception.errors import (
    BackendUnavailableError,
    BuildCancelledError,
    ModelFileError,
    ParameterError,
)
from trt_perception.model_spec import ModelSpec
from trt_perception.onnx_file import read_onnx
from trt_perception.runtime.gpu_probes import Gpu, ProbeFailed, cuda_gpus, driver_version
from trt_perception.runtime.tensorrt_flavour import Flavour

Gate = Callable[[PreparedGraph, BuiltPlan], dict[str, Any]]
"""Judges a new engine before it is kept: returns figures for its header, or raises."""


@dataclass(frozen=True)
class Wish:
    """Which engine of a model is wanted.

    Attributes:
        precision: 'fp32', 'fp16' or 'int8'.
        batch: least, best and largest number of images; None: what the network has, or 1.
        sizes: least, best and largest (width, height); None: the model's `input.size`.
        workspace_bytes, optimization_level, targets: see `BuildOptions`.
        keep_float: nodes that stay float, besides those that the model's file names; * and ?
            stand for any letters.
    """

    precision: Precision = 'fp16'
    batch: tuple[int, int, int] | None = None
    sizes: SizeRange | None = None
    workspace_bytes: int | None = None
    optimization_level: int | None = None
    targets: tuple[str, ...] = ()
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineRequest:
    """A wish for one model on one machine, with everything looked up that it depends on."""

    spec: ModelSpec
    wish: Wish
    flavour: Flavour
    ranges: CalibrationRanges | None
    options: BuildOptions
    identity: EngineIdentity


def request_engine(
    spec: ModelSpec,
    model_yaml: Path,
    wish: Wish,
    flavour: Flavour,
    gpu: Gpu | None,
    *,
    calibration: Path | None = None,
) -> EngineRequest:
    """Look up what an engine depends on: files, versions, device.

    Args:
        spec: the model.
        model_yaml: its file; the calibration lies beside it.
        wish: what is wanted.
        flavour: from `find_flavour`.
        gpu: from `building_gpu`.
        calibration: another calibration file, which must exist.

    Raises:
        ModelFileError: the network cannot be read, or has several inputs.
        CalibrationError: the ranges beside the model do not fit it.
        ParameterError: the wish does not fit the network or the device.
        BackendUnavailableError: TensorRT needs a GPU and there is none.
    """
    wish = replace(wish, targets=_targets(wish, flavour, gpu), keep_float=_keep_float(spec, wish))
    onnx = graph_digest(spec.onnx)
    ranges = _ranges(spec, calibration or ranges_path(model_yaml), wish, onnx, calibration)
    options = BuildOptions(
        profiles=_profiles(spec, wish),
        workspace_bytes=wish.workspace_bytes,
        optimization_level=wish.optimization_level,
        targets=wish.targets,
    )
    # TensorRT-RTX finishes its engines where they run: the machine that builds has no part.
    ahead = flavour.name == 'tensorrt-rtx'
    identity = EngineIdentity(
        onnx=onnx,
        precision=wish.precision,
        calibration=ranges.digest() if ranges else None,
        keep_float=wish.keep_float,
        converters=converter_versions(),
        tensorrt=TensorRTIdentity(flavour=flavour.name, version=flavour.version),
        cuda=CudaIdentity()
        if ahead
        else CudaIdentity(runtime=cuda_runtime_version(), driver=driver_version()),
        platform=PlatformIdentity(system=platform.system(), architecture=platform.machine()),
        gpu=None if ahead or gpu is None else gpu_identity(gpu),
        targets=wish.targets,
        profiles=tuple(dict(profile) for profile in options.profiles),
        optimization_level=wish.optimization_level,
        workspace_bytes=wish.workspace_bytes,
    )
    return EngineRequest(spec, wish, flavour, ranges, options, identity)


def obtain_engine(
    request: EngineRequest,
    cache: EngineCache,
    *,
    control: BuildControl | None = None,
    on_wait: Callable[[str], None] | None = None,
    gate: Gate | None = None,
) -> Engine:
    """The engine that was asked for.

    Args:
        request: from `request_engine`.
        cache: where engines are kept.
        control: how a build, and the wait for one in another process, is watched and stopped.
        on_wait: told that another process builds.
        gate: judges a new engine before it is kept.

    Raises:
        PerceptionError: the network cannot be prepared or built, or `gate` refuses the engine.
    """
    control = control or BuildControl()
    arguments: dict[str, Any] = {'on_wait': on_wait} if on_wait else {}
    return cache.obtain(
        request.identity,
        lambda: _build(request, cache, control, gate),
        label=request.spec.name,
        cancelled=control.cancelled,
        **arguments,
    )


def building_gpu() -> Gpu | None:
    """The GPU that TensorRT builds for: the first in CUDA's order, or None."""
    try:
        return next(iter(cuda_gpus()), None)
    except ProbeFailed:
        return None


def gpu_identity(gpu: Gpu) -> GpuIdentity:
    """What of a GPU decides which engines it may run."""
    gib = None if gpu.memory_bytes is None else round(gpu.memory_bytes / (1 << 30))
    return GpuIdentity(
        name=gpu.name,
        compute_capability=gpu.compute_capability or '',
        sm_count=gpu.sm_count,
        memory_gib=gib,
    )


def _build(
    request: EngineRequest, cache: EngineCache, control: BuildControl, gate: Gate | None
) -> BuiltEngine:
    control.progress(0.0, 'preparing the graph')
    prepared = prepare_graph(
        request.spec.onnx, request.wish.precision, request.ranges, request.wish.keep_float
    )
    if control.cancelled():
        raise BuildCancelledError(f'the build of {request.spec.onnx} was cancelled')
    timings = load_timing_cache(cache.folder, request.identity)
    built = build_plan(
        request.flavour,
        prepared.model,
        request.options,
        origin=str(request.spec.onnx),
        timing_cache=timings,
        control=control,
    )
    if built.timing_cache != timings:
        keep_timing_cache(cache.folder, request.identity, built.timing_cache)
    facts = {
        'build_seconds': round(built.seconds, 3),
        'layers': built.layers,
        'int8_share': prepared.int8_share,
        'float_nodes': prepared.float_nodes,
        'peak_memory_bytes': peak_memory_bytes(),
        'messages': list(built.messages),
    }
    if gate is not None:
        facts['gate'] = gate(prepared, built)
    return BuiltEngine(built.plan, facts)


def _targets(wish: Wish, flavour: Flavour, gpu: Gpu | None) -> tuple[str, ...]:
    if flavour.name == 'tensorrt':
        if gpu is None:
            raise BackendUnavailableError(
                f'{flavour} builds for the GPU of this machine, and CUDA finds none. '
                '`trt_perception doctor` says what is missing'
            )
        return wish.targets
    if wish.targets:
        return tuple(sorted(set(wish.targets), key=lambda text: [*map(_number, text.split('.'))]))
    if gpu is not None and gpu.compute_capability in RTX_TARGETS:
        return (gpu.compute_capability,)
    found = f'finds {gpu.name}, which it does not serve' if gpu else 'finds no GPU here'
    raise ParameterError(
        f'{flavour} {found}. Name the GPUs to build for: --compute-capability, one or more of '
        f'{", ".join(RTX_TARGETS)}'
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def _profiles(spec: ModelSpec, wish: Wish) -> tuple[Profile, ...]:
    tensors = read_onnx(spec.onnx).inputs
    inputs = {tensor.name: tensor.shape for tensor in tensors}
    if len(inputs) - len(side_inputs_for(spec, tensors)) != 1:
        raise ModelFileError(
            f'{spec.onnx}: has {len(inputs)} inputs ({", ".join(inputs)}); family {spec.family} '
            'feeds one, the image. Export the network with the others fixed, or check `family`'
        )
    origin = str(spec.onnx)
    profiles = profiles_for(inputs, spec.input.size, wish.batch, origin, wish.sizes)
    if wish.sizes is not None:
        check_multiples(wish.sizes, network_stride(GraphIndex(load_graph(spec.onnx))), origin)
    return profiles


def _ranges(
    spec: ModelSpec, path: Path, wish: Wish, onnx: str, named: Path | None
) -> CalibrationRanges | None:
    # For fp16 they show what overflows, but nobody has to have them. For int8 a network that was
    # trained with quantisers needs none; whether they are missing is known when it is prepared.
    if wish.precision != 'fp32' and (named is not None or path.is_file()):
        return load_ranges(path, onnx_sha256=onnx, preprocessing=spec.input)
    return None


def _keep_float(spec: ModelSpec, wish: Wish) -> tuple[str, ...]:
    # The model's own list is about int8 alone.
    own = spec.quantisation.keep_float if wish.precision == 'int8' else ()
    return tuple(sorted({*wish.keep_float, *own}))
