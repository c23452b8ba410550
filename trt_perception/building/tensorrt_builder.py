"""Builds an engine from an ONNX graph in which the precision is already decided.

One path for every supported TensorRT: the network is strongly typed, so that each tensor has the
type that the graph gives it, and there are no precision flags (TensorRT 11 and TensorRT-RTX have
none any more). Follows "The ONNX parser", "Working with dynamic shapes" and "Strongly typed
networks" of the TensorRT developer guide.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from trt_perception.building.build_progress import BuildControl, BuildWatch
from trt_perception.building.optimization_profiles import Profile, check_profiles
from trt_perception.building.tensorrt_faults import failure, refusal
from trt_perception.errors import (
    BuildCancelledError,
    EngineBuildError,
    ParameterError,
)
from trt_perception.runtime.tensorrt_flavour import (
    Builder,
    BuilderConfig,
    BuilderConfigForRtx,
    Flavour,
    Network,
    Parser,
    TensorRT,
    TensorRTForRtx,
)
from trt_perception.runtime.tensorrt_messages import Messages, messages_of

log = logging.getLogger(__name__)

RTX_TARGETS = ('7.5', '8.0', '8.6', '8.9', '12.0', '12.1')
"""Compute capabilities that TensorRT-RTX 1.7 builds for."""
OPTIMIZATION_LEVELS = range(6)
"""What `BuildOptions.optimization_level` may be; higher takes longer and looks further."""


@dataclass(frozen=True)
class BuildOptions:
    """What the user may choose.

    Attributes:
        profiles: one mapping of input name to extents per optimisation profile; a network
            with open extents needs one at least.
        workspace_bytes: limit of scratch memory; None for TensorRT's default, all of the GPU's.
        optimization_level: one of `OPTIMIZATION_LEVELS`; None for TensorRT's default, 3.
        targets: compute capabilities such as '8.6' to build for ahead of time, without a GPU,
            by TensorRT-RTX. (): TensorRT builds for the GPU of this machine, and TensorRT-RTX one
            engine for all that it supports but Turing.
    """

    profiles: tuple[Profile, ...] = ()
    workspace_bytes: int | None = None
    optimization_level: int | None = None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuiltPlan:
    """What TensorRT made.

    Attributes:
        plan: the serialised engine.
        timing_cache: for the next build on the same GPU by the same TensorRT; b'' from
            TensorRT-RTX, which has none.
        seconds: that the build took.
        layers: of the network before TensorRT fused them.
        messages: TensorRT's warnings.
    """

    plan: bytes
    timing_cache: bytes
    seconds: float
    layers: int
    messages: tuple[str, ...]


def build_plan(
    flavour: Flavour,
    model: bytes,
    options: BuildOptions,
    *,
    origin: str,
    timing_cache: bytes = b'',
    control: BuildControl | None = None,
) -> BuiltPlan:
    """Build an engine.

    Args:
        flavour: from `find_flavour`.
        model: an ONNX model with its weights inside, every node named.
        options: what the user chose.
        origin: how errors call the model.
        timing_cache: from an earlier build; ignored where it does not fit.
        control: how the build is watched and stopped.

    Raises:
        ParameterError: an option does not fit the network or the flavour.
        ModelFileError: TensorRT does not take the network; the nodes are named.
        EngineBuildError: the build failed, for example for lack of memory or of a GPU.
        BuildCancelledError: `control.cancelled` said so.
    """
    trt = flavour.module
    control = control or BuildControl()
    _check_options(flavour, options)
    start = time.monotonic()
    messages = messages_of(trt)
    messages.clear()
    builder = _create_builder(trt, flavour, messages.logger, messages)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    # The parser owns weights of the network: it must live until the build is over.
    parser = trt.OnnxParser(network, messages.logger)
    _parse(network, parser, model, flavour, origin, messages)
    config = _configured(builder, network, flavour, options, origin, timing_cache)
    watch = BuildWatch(control)
    config.progress_monitor = _progress_monitor(trt, watch)
    plan = builder.build_serialized_network(network, config)
    if watch.failure:
        raise watch.failure
    if watch.cancelled:  # in its last steps TensorRT no longer heeds it
        raise BuildCancelledError(f'the build of {origin} was cancelled')
    if plan is None:
        raise failure(flavour, model, origin, messages, ahead=bool(options.targets))
    control.progress(1.0, 'done')
    return BuiltPlan(
        bytes(plan),
        _timing_cache(config) if flavour.name == 'tensorrt' else b'',
        time.monotonic() - start,
        network.num_layers,
        tuple(messages.warnings),
    )


def _configured(
    builder: Builder,
    network: Network,
    flavour: Flavour,
    options: BuildOptions,
    origin: str,
    timing_cache: bytes,
) -> BuilderConfig:
    """How the network is built: its profiles, what the user chose, and what was timed before."""
    config = builder.create_builder_config()
    _set_profiles(builder, config, network, options, origin)
    _set_options(flavour.module, config, options)
    if options.targets:
        _set_targets(flavour.module, config, options.targets)
    if flavour.name == 'tensorrt':  # TensorRT-RTX times nothing while it builds
        _set_timing_cache(config, timing_cache)
    return config


def _check_options(flavour: Flavour, options: BuildOptions) -> None:
    level = options.optimization_level
    if level is not None and level not in OPTIMIZATION_LEVELS:
        raise ParameterError(f'builder level {level}: it must lie in 0..{OPTIMIZATION_LEVELS[-1]}')
    if options.workspace_bytes is not None and options.workspace_bytes <= 0:
        raise ParameterError(f'workspace of {options.workspace_bytes} bytes: it must be positive')
    if options.targets and flavour.name != 'tensorrt-rtx':
        raise ParameterError(
            f'compute capabilities {", ".join(options.targets)}: only TensorRT-RTX builds for GPUs '
            f'other than that of this machine, and this is {flavour}. Leave them out'
        )
    for target in options.targets:
        if target not in RTX_TARGETS:
            raise ParameterError(
                f'compute capability {target!r}: TensorRT-RTX builds for {", ".join(RTX_TARGETS)}. '
                'Jetsons and data centre GPUs need TensorRT itself'
            )


def _create_builder(trt: TensorRT, flavour: Flavour, logger: object, messages: Messages) -> Builder:
    try:
        return trt.Builder(logger)
    except Exception as error:  # pybind11 raises TypeError when the factory returns nothing
        why = '; '.join(messages.errors) or str(error)
        raise EngineBuildError(
            f'{flavour} cannot build here: {why}. It needs a GPU with its driver; '
            '`trt_perception doctor` says what is missing'
        ) from error


def _parse(
    network: Network, parser: Parser, model: bytes, flavour: Flavour, origin: str, log: Messages
) -> None:
    # TensorRT-RTX 1.7 accepts some files that are no ONNX at all, as a network of nothing.
    if not (parser.parse(model) and network.num_outputs):
        raise refusal(parser, model, flavour, origin, log)


def _set_profiles(
    builder: Builder, config: BuilderConfig, network: Network, options: BuildOptions, origin: str
) -> None:
    inputs = {}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        inputs[tensor.name] = tuple(tensor.shape)
    check_profiles(inputs, options.profiles, origin)
    for shapes in options.profiles:
        profile = builder.create_optimization_profile()
        for name, extents in shapes.items():
            profile.set_shape(name, extents.min, extents.opt, extents.max)
        if config.add_optimization_profile(profile) < 0:
            shown = ', '.join(f'{name} {extents}' for name, extents in shapes.items())
            raise ParameterError(f'{origin}: TensorRT refuses the optimisation profile {shown}')


def _set_options(trt: TensorRT, config: BuilderConfig, options: BuildOptions) -> None:
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level


def _set_targets(
    trt: TensorRTForRtx, config: BuilderConfigForRtx, targets: tuple[str, ...]
) -> None:
    capabilities = {
        '7.5': trt.ComputeCapability.SM75,
        '8.0': trt.ComputeCapability.SM80,
        '8.6': trt.ComputeCapability.SM86,
        '8.9': trt.ComputeCapability.SM89,
        '12.0': trt.ComputeCapability.SM120,
        '12.1': trt.ComputeCapability.SM121,
    }
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(capabilities[target], index)


def _set_timing_cache(config: BuilderConfig, content: bytes) -> None:
    cache = config.create_timing_cache(content)
    # TensorRT checks that it is of this GPU and this version, and refuses it otherwise.
    if cache is None or not config.set_timing_cache(cache, False):
        log.info('the timing cache is of another GPU or TensorRT; starting a new one')
        config.set_timing_cache(config.create_timing_cache(b''), False)


def _timing_cache(config: BuilderConfig) -> bytes:
    cache = config.get_timing_cache()
    return bytes(cache.serialize()) if cache is not None else b''


def _progress_monitor(trt: TensorRT, watch: BuildWatch) -> object:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            watch.phases.start(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            return watch.step(phase, step)

        def phase_finish(self, phase: str) -> None:
            watch.phases.finish(phase)

    return Monitor()
