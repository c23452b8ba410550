"""What a pipeline holds on a GPU: memory, streams, the slots of its batches, kernels."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.protocol import Decoder
from trt_perception.decoding.registry import side_inputs_for
from trt_perception.errors import GpuMemoryError, InferenceError
from trt_perception.frames import Frame
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.lending import Lender
from trt_perception.gpu.memory import MemoryUse
from trt_perception.kernels.decoders import DeviceDecoder
from trt_perception.kernels.dense_head import MOST_DETECTIONS
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.batch_entry import Entries
from trt_perception.pipeline.device_inputs import DeviceInputs
from trt_perception.pipeline.device_slot import Slot, Streams
from trt_perception.pipeline.device_stages import HostDecode, MakeStages
from trt_perception.pipeline.device_timing import DeviceTiming
from trt_perception.preprocessing.letterbox import Letterbox, Size
from trt_perception.results import DecodeSettings
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.device_protocol import Shapes

MOST_RESULTS = 6
"""Results that may be looked at without a copy of their own; more are copied."""

MOST_FRAMES = 32
"""Frames in memory of `DevicePipeline.frame_memory`."""


class DeviceResources:
    """From one setting up of the GPU to its loss or the end.

    Made, used and freed in the owner's thread, but for what says that any thread may call it.

    Attributes:
        slots: of batches under way; empty once all was freed.
        streams: of the GPU, in which they are.
        inputs: of the network.
        letterbox: makes the network's image.
        timing: of all of it.
    """

    def __init__(
        self,
        gpu: Gpu,
        spec: ModelSpec,
        network: DeviceNetwork,
        decoder: Decoder,
        make_stages: MakeStages,
        *,
        overlap: bool,
        copies_apart: bool,
    ) -> None:
        """Take what no frame needs to be known for.

        Args:
            gpu: where.
            spec: the model.
            network: loaded there.
            decoder: on the CPU, for what no kernel decodes.
            make_stages, overlap, copies_apart: see `DevicePipeline`.

        Raises:
            PerceptionError: of the kernels.
            pycuda.driver.Error: there is no room.
        """
        self.slots: deque[Slot] = deque()
        self._spec, self._network, self._decoder = spec, network, decoder
        self._owner = network.owner
        self._decoders: dict[object, DeviceDecoder] = {}
        self._batches = 0
        self._buffers = gpu.buffers()
        self._results = Lender(gpu.host_lock, MOST_RESULTS)
        self._frames = Lender(gpu.host_lock, MOST_FRAMES)
        self.inputs = DeviceInputs(network, spec.input.size, side_inputs_for(spec, network.inputs))
        self.timing = DeviceTiming(network, self.inputs)
        self._stages = make_stages(gpu)
        lent, entries = (self._results, self._frames), Entries(self._letterbox_of)
        try:
            self.streams = Streams(gpu, network.stream, apart=copies_apart)
            self.letterbox = self._stages.letterbox(spec.input, self.inputs.image.dtype)
            for number in range(2 if overlap else 1):
                self.slots.append(
                    Slot(gpu, self._buffers, *lent, entries, number, apart=copies_apart)
                )
        except BaseException:  # else it would go with the error, in any thread
            self.slots.clear()
            self.__dict__.pop('streams', None)
            self._stages.close()
            gpu.release(self._buffers)
            raise

    def _letterbox_of(self, source: Size) -> Letterbox:
        spec = self._spec.input
        return Letterbox.fit(source, spec.size, spec.resize, spec.pad, spec.shorter_side)

    def free_slot(self) -> Slot:
        """The slot whose turn it is; what is still under way in it is finished first."""
        slot = self.slots[0]
        self.slots.rotate(-1)
        if slot.in_flight is not None:
            slot.in_flight.settle()
        self._batches += 1
        slot.batch = self._batches
        return slot

    def scratch(self, nbytes: int) -> int:
        """Address of memory for the decoding kernels, whose batches never overlap.

        Raises:
            GpuMemoryError: there is no room.
        """
        return self._buffers.device('scratch', nbytes)

    def decoder(
        self, gpu: Gpu, shapes: Shapes, settings: DecodeSettings, *, pictures: bool
    ) -> DeviceDecoder:
        """What decodes outputs of these shapes: a kernel if there is one, else the CPU."""
        by_kernel = settings.max_detections <= MOST_DETECTIONS
        key = shapes[self.inputs.image.name][0], by_kernel, pictures
        decoder = self._decoders.get(key)
        if decoder is None:
            outputs = self._network.outputs
            real = [replace(spec, shape=shapes[spec.name]) for spec in outputs]
            decoder = self._stages.decode(self._spec, real, pictures) if by_kernel else None
            decoder = decoder or HostDecode(self._decoder, gpu, outputs, shapes)
            self._decoders[key] = decoder
        return decoder

    @contextlib.contextmanager
    def room_for(self, decoder: DeviceDecoder) -> Iterator[None]:
        """Where there is no room for what a decoder asks for, let it ask for less the next time.

        Else what was refused would be asked for again with every frame.
        """
        try:
            yield
        except GpuMemoryError:
            decoder.ask_less()
            raise

    @property
    def memory(self) -> MemoryUse:
        """What is held besides the network's weights and scratch memory. Any thread may ask."""
        lent = self._results.use + self._frames.use
        return self._buffers.use + self._network.buffers.use + lent

    def frame_memory(self, nbytes: int) -> NDArray[np.uint8] | None:
        """See `DevicePipeline.frame_memory`. Any thread may call it.

        Returns:
            uint8 [nbytes]; None where no more can be locked, or the GPU is lost or closed.
        """
        lent = self._frames.lend_free(nbytes)
        if lent is None:
            with contextlib.suppress(InferenceError):
                lent = self._owner.call(lambda gpu: self._frames.lend(nbytes))
        return lent

    def has_lent(self, frame: Frame) -> bool:
        """Whether a frame lies in memory of `frame_memory`. Any thread may ask."""
        return self._frames.holds(frame.data)

    def free(self, gpu: Gpu) -> None:
        """Finish what is under way, then free everything."""
        for slot in self.slots:
            if slot.in_flight is not None:
                slot.in_flight.settle()
        gpu.release(self._buffers)
        self._results.close()
        self._frames.close()
        self._stages.close()
        self.forget()

    def forget(self) -> None:
        """Let go of streams, events and kernels, which go with their last use.

        In the owner's thread if it lives; a lost GPU has freed its memory.
        """
        self.slots.clear()
        self._decoders.clear()
        del self.streams, self.letterbox, self._stages
        self.timing.trace = None
