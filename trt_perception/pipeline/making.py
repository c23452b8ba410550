"""The pipeline of a network: on the GPU where the network is there, else on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from trt_perception.errors import (
    BackendUnavailableError,
    DeviceLostError,
    InferenceError,
    KernelError,
    MissingDependencyError,
    ParameterError,
    PerceptionError,
)
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.host_frames import HostFramesPipeline
from trt_perception.pipeline.perception import DEFAULT_USE, GpuUse, PerceptionPipeline
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.protocol import Runtime
from trt_perception.runtime.selection import BackendChoice, telling_frames
from trt_perception.runtime.shared_network import contexts_wanted

if TYPE_CHECKING:
    from trt_perception.pipeline.device_perception import DevicePipeline
    from trt_perception.pipeline.device_stages import MakeStages


def make_pipeline(
    spec: ModelSpec,
    runtime: Runtime,
    choice: BackendChoice,
    gpu_use: GpuUse = DEFAULT_USE,
    make_stages: MakeStages | None = None,
) -> PerceptionPipeline:
    """Put the pipeline together and make sure that it runs.

    Args:
        spec: the model.
        runtime: its network; closed if this raises.
        choice: which backend that is, and why.
        gpu_use: how a GPU is used.
        make_stages: makes the kernels; None: those of this package.

    Raises:
        ParameterError: the CPU is to go on where the GPU is lost, and could not.
        PerceptionError: see `PerceptionPipeline` and `DevicePipeline`.
    """
    try:
        if isinstance(runtime, DeviceNetwork):
            return _on_device(spec, runtime, choice, gpu_use, make_stages)
        return _warm(PerceptionPipeline(spec, runtime, choice))
    except BaseException:
        runtime.close()
        raise


def _on_device(
    spec: ModelSpec,
    network: DeviceNetwork,
    choice: BackendChoice,
    gpu_use: GpuUse,
    make_stages: MakeStages | None,
) -> PerceptionPipeline:
    # Not needed where there is no GPU.
    from trt_perception.pipeline.device_perception import DevicePipeline
    from trt_perception.pipeline.device_stages import KernelStages

    wanted = contexts_wanted(network.max_batch, gpu_use.cameras, each=gpu_use.context_each)
    if gpu_use.cpu_fallback:
        _check_cpu(spec)

    @functools.cache  # for all contexts
    def on_cpu() -> PerceptionPipeline:
        return _on_cpu(spec)

    def on_context(network: DeviceNetwork) -> DevicePipeline:
        pipeline = DevicePipeline(
            spec,
            network,
            telling_frames(choice, 'stay on the GPU'),
            make_stages=make_stages or KernelStages.of,
            overlap=gpu_use.overlap,
            copies_apart=wanted > 1,
            on_cpu=on_cpu if gpu_use.cpu_fallback else None,
        )
        return _warm_on_its_network(pipeline)

    try:
        first = on_context(network)
    except (KernelError, MissingDependencyError) as error:
        told = telling_frames(choice, f'are prepared on the CPU: {error}')
        on_host = functools.partial(OnnxRuntime, spec.onnx) if gpu_use.cpu_fallback else None
        return _warm(HostFramesPipeline(spec, network, told, on_host))
    if wanted == 1:
        return first
    try:
        return _with_more_contexts(first, network, wanted, gpu_use, on_context)
    except BaseException:
        first.leave_network()
        raise


def _on_cpu(spec: ModelSpec) -> PerceptionPipeline:
    lost = BackendChoice('onnxruntime-cpu', 'the GPU was lost')
    return _warm(PerceptionPipeline(spec, OnnxRuntime(spec.onnx), lost))


def _check_cpu(spec: ModelSpec) -> None:
    """Find out now, and not when the GPU is lost, whether the CPU could go on."""
    try:
        _on_cpu(spec).close()
    except PerceptionError as error:
        raise ParameterError(
            f'cpu_fallback: {spec.name} cannot go on on the CPU: {error}. Mend that, or leave '
            'cpu_fallback out'
        ) from error


def _with_more_contexts(
    first: DevicePipeline,
    network: DeviceNetwork,
    wanted: int,
    gpu_use: GpuUse,
    on_context: Callable[[DeviceNetwork], DevicePipeline],
) -> PerceptionPipeline:
    """As many contexts as were asked for; or, where nobody asked, as there is room for."""
    from trt_perception.pipeline.contexts import ContextsPipeline

    contexts = [first]
    told = f'on {wanted} execution contexts'
    try:
        while len(contexts) < wanted:
            contexts.append(_further(network, on_context))
    except BaseException as error:
        if gpu_use.context_each or not _leaves_the_others(error):
            for context in contexts[1:]:
                context.close()
            raise
        told = f'on {len(contexts)} of {wanted} execution contexts: {error}'
    pipeline = ContextsPipeline(contexts, overlap=gpu_use.overlap)
    pipeline.choice = telling_frames(first.choice, f'stay on the GPU, {told}')
    return pipeline


def _leaves_the_others(error: BaseException) -> bool:
    """Whether a further context that failed so says nothing against those that were made."""
    refused = isinstance(error, (BackendUnavailableError, InferenceError))
    return refused and not isinstance(error, DeviceLostError)


def _further(
    network: DeviceNetwork, on_context: Callable[[DeviceNetwork], DevicePipeline]
) -> DevicePipeline:
    another = network.another()
    try:
        return on_context(another)
    except BaseException:
        another.close()
        raise


def _warm_on_its_network(pipeline: DevicePipeline) -> DevicePipeline:
    try:
        pipeline.warm_up()
    except BaseException:
        pipeline.leave_network()
        raise
    return pipeline


def _warm(pipeline: PerceptionPipeline) -> PerceptionPipeline:
    pipeline.warm_up()
    return pipeline
