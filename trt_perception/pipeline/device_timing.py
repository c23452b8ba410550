"""How long the parts of a pipeline on a GPU take, by its own clock."""

from __future__ import annotations

from trt_perception.errors import InferenceError
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.trace import Span, Trace
from trt_perception.pipeline.device_inputs import DeviceInputs
from trt_perception.pipeline.device_slot import Slot
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.device_protocol import Profiled
from trt_perception.runtime.layer_times import LayerTime


class DeviceTiming:
    """Since the GPU was set up. Any thread may call it, one at a time.

    Attributes:
        trace: where is noted what the GPU does when; None: nowhere. For the owner's thread.
    """

    def __init__(self, network: DeviceNetwork, inputs: DeviceInputs) -> None:
        """Note nothing yet."""
        self._network = network
        self._inputs = inputs
        self.trace: Trace | None = None

    def network_times(self, batch: int, count: int, runs: int) -> list[float]:
        """Milliseconds of the network alone; see `DeviceNetwork.time_ms`."""
        return self._network.time_ms(self._inputs.shapes(batch), count, runs)

    def layers(self, batch: int, runs: int) -> list[LayerTime]:
        """See `DevicePipeline.layers`."""

        def profile(gpu: Gpu) -> list[LayerTime]:
            self._inputs.place(gpu, batch)
            device = self._network.device
            if not isinstance(device, Profiled):
                raise InferenceError(f'{device.backend} does not time its layers')
            return device.layers(runs)

        return self._network.owner.call(profile)

    def start_trace(self, place: str, beside: Trace | None) -> Trace:
        """From now on note when the GPU does what.

        Args:
            place: what comes before the name of each lane.
            beside: the trace of another pipeline, where times begin as there; None: now.
        """

        def begin(gpu: Gpu) -> Trace:
            origin = gpu.event()
            origin.record(self._network.stream)
            origin.synchronize()
            return Trace(origin, place)

        trace = self._network.owner.call(begin) if beside is None else beside.beside(place)
        self.trace = trace
        return trace

    def note(self, slot: Slot) -> None:
        """In the owner's thread: what was done when with a batch that is through."""
        if self.trace is not None:
            slot.trace(self.trace)

    def stop_trace(self) -> list[Span]:
        """What was noted since `start_trace`."""
        trace, self.trace = self.trace, None
        if trace is None:
            return []
        self._network.owner.call(lambda gpu: trace.release())
        return trace.spans
