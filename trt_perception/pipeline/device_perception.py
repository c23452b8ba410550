"""The main path on a GPU: a camera's bytes in, what is seen in them out, nothing copied between.

The stages are those of `perception.PerceptionPipeline`. The camera's bytes are copied to the
device as they are; a kernel makes the network's input of them; the network reads and writes
device memory; a kernel decodes; and what was found is copied back, once.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import DeviceLostError, InferenceError, PerceptionError
from trt_perception.frames import Frame
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.in_flight import InFlight
from trt_perception.gpu.memory import MemoryUse
from trt_perception.gpu.trace import Span, Trace
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.device_resources import DeviceResources
from trt_perception.pipeline.device_stages import KernelStages, MakeStages
from trt_perception.pipeline.gpu_recovery import GpuRecovery
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.readable_frame import ReadableFrame
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.results import DecodeSettings
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.layer_times import LayerTime
from trt_perception.runtime.selection import BackendChoice


class DevicePipeline(PerceptionPipeline):
    """`PerceptionPipeline` with every stage on the GPU. Any thread may use it, one at a time."""

    def __init__(
        self,
        spec: ModelSpec,
        network: DeviceNetwork,
        choice: BackendChoice,
        *,
        make_stages: MakeStages = KernelStages.of,
        overlap: bool = False,
        copies_apart: bool = False,
        on_cpu: Callable[[], PerceptionPipeline] | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            spec: the model.
            network: on the GPU; closed by `close`.
            choice: which backend that is, and why.
            make_stages: makes the kernels.
            overlap: two batches on the way at the same time, for `process_all`. Without, nothing
                ever queues and a single frame is through soonest.
            copies_apart: copies have streams of their own. With `overlap` they always have; else
                it serves only where other pipelines use the GPU meanwhile.
            on_cpu: what goes on where the GPU is lost for good; None: nothing.

        Raises:
            ModelFileError, ModelOutputError: see `PerceptionPipeline`.
            PerceptionError: of the kernels.
        """
        super().__init__(spec, network, choice)
        self._network = network
        self._overlap = overlap
        self._resources = functools.partial(
            DeviceResources,
            spec=spec,
            network=network,
            decoder=self._decoder,
            make_stages=make_stages,
            overlap=overlap,
            copies_apart=overlap or copies_apart,
        )
        self._recovery = GpuRecovery(self._rebuild, self._give_back, on_cpu)
        self._set_up()

    # The main path

    def submit(self, frames: Sequence[Frame]) -> Future[list[Perceived]]:
        """Begin with a batch; `finish` gives what `process` returns or raises.

        With `overlap`, a second batch may be given before the first is through.

        Raises:
            FrameError: a frame cannot be used.
        """
        return self._begin([self._readable(frame) for frame in frames])

    def finish(self, begun: Future[list[Perceived]]) -> list[Perceived]:
        """Wait for a batch that `submit` began.

        Raises:
            InferenceError, ModelOutputError: see `process`. Where the GPU was lost, it is set up
                anew by then, or the CPU goes on, or neither can be.
        """
        try:
            return begun.result()
        except DeviceLostError as error:
            # A second batch that the same fault took must not count as a second fault.
            if not self._recovery.over and self._network.owner.lost:
                raise self._recovered(error) from error
            raise

    def _begin(self, readable: Sequence[ReadableFrame]) -> Future[list[Perceived]]:
        if self._recovery.over:
            return self._begin_without(readable)
        wanted = self.settings, self.pictures  # as of now, whenever the batch's turn comes
        return self._network.owner.submit(lambda gpu: self._enqueue(gpu, readable, *wanted))

    def _enqueue(
        self, gpu: Gpu, readable: Sequence[ReadableFrame], settings: DecodeSettings, pictures: bool
    ) -> InFlight[list[Perceived]]:
        """Queue every stage of a batch. In the owner's thread; waits for nothing."""
        held, slot = self._held, self._held.free_slot()
        streams, frames = held.streams, [one.frame for one in readable]
        # convert
        images = slot.copy_in(frames, [one.size for one in readable], streams.copy_in)
        # preprocess
        shapes, tensors = held.inputs.place(gpu, len(frames))
        streams.follow(streams.compute, streams.copy_in, slot.entered)
        slot.begin(streams.compute)
        tensor = tensors[held.inputs.image.name]
        letterboxes = held.letterbox.enqueue(images, tensor, streams.compute)
        slot.prepared.record(streams.compute)
        # infer
        self._network.device.enqueue()
        slot.inferred.record(streams.compute)
        # decode
        decoder = held.decoder(gpu, shapes, settings, pictures=pictures)
        scratch = held.scratch(decoder.scratch_bytes(letterboxes))
        nbytes = decoder.result_bytes(letterboxes)
        with held.room_for(decoder):
            result = slot.result(nbytes)
            decoder.enqueue(tensors, letterboxes, settings, scratch, result, streams.compute)
            slot.decoded.record(streams.compute)
            streams.follow(streams.copy_out, streams.compute, slot.decoded)
            found = slot.copy_out(decoder.head_bytes(letterboxes), nbytes, streams.copy_out)

        def finish() -> list[Perceived]:
            reading = time.perf_counter()
            slot.copy_rest(found, decoder.rest(found, letterboxes), streams.copy_out)
            results = decoder.read(slot.kept(found), letterboxes, settings)
            held.timing.note(slot)
            stages_ms = slot.stages_ms()
            stages_ms['decode'] += (time.perf_counter() - reading) * 1e3
            pairs = zip(results, readable, strict=True)
            return [Perceived(result, one.source, dict(stages_ms)) for result, one in pairs]

        slot.in_flight = InFlight(slot.done, finish)
        return slot.in_flight

    # As the pipeline on the CPU offers it

    def process_all(self, batches: Iterable[Sequence[Frame]]) -> Iterator[list[Perceived]]:
        """See `PerceptionPipeline.process_all`. Each batch begins before the one before ends."""
        if not self._overlap or self._recovery.instead is not None:
            yield from super().process_all(batches)
            return
        under_way: deque[Future[list[Perceived]]] = deque()
        for frames in batches:
            under_way.append(self.submit(frames))
            if len(under_way) >= len(self._held.slots):  # none are left where the GPU is gone
                yield self.finish(under_way.popleft())
        while under_way:
            yield self.finish(under_way.popleft())

    def usable(self, frame: Frame) -> Frame:
        """See `PerceptionPipeline.usable`."""
        return self._readable(frame).frame

    def _readable(self, frame: Frame) -> ReadableFrame:
        return ReadableFrame.of(frame)

    def _look(self, images: Sequence[ReadableFrame], watch: Stopwatch) -> list[Perceived]:
        return self.finish(self._begin(images))

    def warm_up(self) -> None:
        """See `PerceptionPipeline.warm_up`. Outputs stay where they are: gates look for NaN."""
        self.process([self._grey_frame()])

    def make_room(self, batch: int) -> None:
        """See `PerceptionPipeline.make_room`.

        The first run of a batch of some size and its recording take tens of milliseconds, which
        no frame shall wait for. Smaller ones fit into the memory that the largest takes.
        """
        for size in range(batch, 0, -1):
            for _ in range(2):  # the second run may be recorded
                self.process([self._grey_frame()] * size)

    def close(self) -> None:
        """Free everything on the GPU. A second call does nothing."""
        self.leave_network()
        super().close()
        if self._recovery.instead is not None:
            self._recovery.instead.close()

    # What is held on the GPU

    @property
    def memory(self) -> MemoryUse:
        """What the pipeline holds besides the network's weights and scratch memory."""
        return self._held.memory

    def frame_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory for a camera's bytes that goes to the GPU without a copy on the host.

        Write a frame into it, or into a view, and give that to `process`. It must not change
        until the result is there. It is lent again when no view of it is left. Where no more can
        be locked it is ordinary memory, and the frame is copied.

        Returns:
            uint8 [nbytes].
        """
        lent = self._held.frame_memory(nbytes)
        return super().frame_memory(nbytes) if lent is None else lent

    def has_lent(self, frame: Frame) -> bool:
        """Whether a frame lies in memory of `frame_memory`."""
        return self._held.has_lent(frame)

    def leave_network(self) -> None:
        """Free everything on the GPU but the network, for another pipeline to use it."""
        if not self._held.slots:
            return
        owner = self._network.owner
        owner.users -= self._overlap
        try:
            owner.call(self._held.free)
        except InferenceError:  # a lost GPU has freed its memory
            self._held.forget()

    def _set_up(self) -> None:
        # Two batches under way are as two users; see `GpuOwner.users`.
        self._held = self._network.owner.call(self._resources)
        self._network.owner.users += self._overlap

    # When the GPU is lost

    def _recovered(self, error: DeviceLostError) -> InferenceError:
        told = self._recovery.after(error)
        if self._recovery.instead is not None:
            reason = f'the GPU was lost: {error}'
            self.choice = replace(self._recovery.instead.choice, reason=reason)
        return told

    def _rebuild(self) -> None:
        self._give_back()
        self._network.open()
        self._set_up()
        self._begin([self._readable(self._grey_frame())]).result()

    def _give_back(self) -> None:
        self.leave_network()
        self._network.close()

    def _begin_without(self, readable: Sequence[ReadableFrame]) -> Future[list[Perceived]]:
        """What `_begin` does for the CPU, or for nobody, to go on."""
        done: Future[list[Perceived]] = Future()
        instead = self._recovery.instead
        if instead is None:
            done.set_exception(DeviceLostError(self._recovery.gone))
            return done
        instead.settings = self.settings
        try:
            done.set_result(instead.process([one.frame for one in readable]))
        except PerceptionError as error:
            done.set_exception(error)
        return done

    # How long it takes

    def network_times(self, batch: int, count: int, *, runs: int = 1) -> list[float]:
        """Milliseconds of the network alone; see `DeviceNetwork.time_ms`."""
        return self._held.timing.network_times(batch, count, runs)

    def layers(self, batch: int, runs: int) -> list[LayerTime]:
        """How long each layer of the network takes, where its backend says so.

        Raises:
            InferenceError: it does not.
        """
        return self._held.timing.layers(batch, runs)

    def start_trace(self, place: str = '', beside: Trace | None = None) -> Trace:
        """From now on note when the GPU does what; see `DeviceTiming.start_trace`."""
        return self._held.timing.start_trace(place, beside)

    def stop_trace(self) -> list[Span]:
        """What was noted since `start_trace`."""
        return self._held.timing.stop_trace()
