"""The pipeline of a network: on the GPU where the network is there, else on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trt_perception.errors import KernelError, MissingDependencyError
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.perception import DEFAULT_USE, GpuUse, PerceptionPipeline
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.protocol import Runtime
from trt_perception.runtime.selection import BackendChoice, telling_frames

if TYPE_CHECKING:
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

    def on_cpu() -> PerceptionPipeline:
        lost = BackendChoice('onnxruntime-cpu', 'the GPU was lost')
        return _warm(PerceptionPipeline(spec, OnnxRuntime(spec.onnx), lost))

    pipeline = None
    try:
        pipeline = DevicePipeline(
            spec,
            network,
            telling_frames(choice, 'stay on the GPU'),
            make_stages=make_stages or KernelStages.of,
            overlap=gpu_use.overlap,
            on_cpu=on_cpu if gpu_use.cpu_fallback else None,
        )
        return _warm(pipeline)
    except (KernelError, MissingDependencyError) as error:
        if pipeline is not None:
            pipeline.leave_network()
        told = telling_frames(choice, f'are prepared on the CPU: {error}')
        return _warm(PerceptionPipeline(spec, network, told))


def _warm(pipeline: PerceptionPipeline) -> PerceptionPipeline:
    pipeline.warm_up()
    return pipeline
