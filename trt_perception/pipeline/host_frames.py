"""The main path where the GPU has the network alone, since no kernels can be had for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.registry import side_inputs_for
from trt_perception.errors import DeviceLostError, InferenceError
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.gpu_recovery import GpuRecovery
from trt_perception.pipeline.perception import PerceptionPipeline
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.protocol import Runtime, Tensors
from trt_perception.runtime.selection import BackendChoice
from trt_perception.runtime.side_inputs import fed


class HostFramesPipeline(PerceptionPipeline):
    """`PerceptionPipeline` that outlives the loss of the GPU, as `DevicePipeline` does."""

    def __init__(
        self,
        spec: ModelSpec,
        network: DeviceNetwork,
        choice: BackendChoice,
        on_cpu: Callable[[], Runtime] | None,
    ) -> None:
        """Put the parts together.

        Args:
            spec: the model.
            network: on the GPU; closed by `close`.
            choice: which backend that is, and why.
            on_cpu: loads the network on the CPU where the GPU is lost for good; None: nothing
                goes on.

        Raises:
            ModelFileError, ModelOutputError: see `PerceptionPipeline`.
        """
        super().__init__(spec, network, choice)
        self._network = network
        self._recovery = GpuRecovery(self._rebuild, network.close, on_cpu)

    def _infer(
        self, images: Sequence[NDArray[np.uint8]], watch: Stopwatch
    ) -> tuple[list[Letterbox], Tensors]:
        if self._recovery.gone:
            raise DeviceLostError(self._recovery.gone)
        try:
            return super()._infer(images, watch)
        except DeviceLostError as error:
            raise self._recovered(error) from error

    def _recovered(self, error: DeviceLostError) -> InferenceError:
        told = self._recovery.after(error)
        runtime = self._recovery.instead
        if runtime is not None:
            self.runtime = fed(runtime, side_inputs_for(self.spec, runtime.inputs))
            self.choice = BackendChoice(runtime.backend, f'the GPU was lost: {error}')
        return told

    def _rebuild(self) -> None:
        self._network.close()
        self._network.open()
