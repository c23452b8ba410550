"""The main path where the GPU has the network alone, since no kernels can be had for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.registry import side_inputs_for
from trt_perception.errors import DeviceLostError, InferenceError, PerceptionError
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.perception import PerceptionPipeline
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.protocol import Runtime, Tensors
from trt_perception.runtime.selection import BackendChoice
from trt_perception.runtime.side_inputs import fed

log = logging.getLogger(__name__)


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
        self._on_cpu = on_cpu
        self._rebuilt = False
        self._gone = ''

    def _infer(
        self, images: Sequence[NDArray[np.uint8]], watch: Stopwatch
    ) -> tuple[list[Letterbox], Tensors]:
        if self._gone:
            raise DeviceLostError(self._gone)
        try:
            return super()._infer(images, watch)
        except DeviceLostError as error:
            self._recover(error)
            raise

    def _recover(self, error: DeviceLostError) -> None:
        """Load the network anew, once; then go on on the CPU, if that is allowed.

        Raises:
            InferenceError: it goes on; only what was under way is lost.
            DeviceLostError: it cannot, now and with every later frame.
        """
        self._network.close()
        told = f'{error}'
        if not self._rebuilt:
            self._rebuilt = True
            try:
                self._network.open()
            except PerceptionError as again:
                told = f'{error}. Setting it up anew failed: {again}'
                log.warning('%s', told)
            else:
                raise InferenceError(f'{error}. It was set up anew and goes on') from error
        if self._on_cpu is not None:
            try:
                runtime = self._on_cpu()
            except PerceptionError as neither:
                told = f'{told}. The CPU cannot go on either: {neither}'
            else:
                self.runtime = fed(runtime, side_inputs_for(self.spec, runtime.inputs))
                self.choice = BackendChoice(runtime.backend, f'the GPU was lost: {error}')
                raise InferenceError(f'{error}. It goes on on the CPU') from error
        self._gone = told
        raise DeviceLostError(told) from error
