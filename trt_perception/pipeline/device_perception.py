"""The main path on a GPU: a camera's bytes in, what is seen in them out, nothing copied between.

The stages are those of `perception.PerceptionPipeline`. The camera's bytes are copied to the
device as they are; a kernel makes the network's input of them; the network reads and writes
device memory; a kernel decodes; and what was found is copied back, once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.registry import side_inputs_for
from trt_perception.errors import DeviceLostError, FrameError, InferenceError, PerceptionError
from trt_perception.frames import Frame
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.in_flight import InFlight
from trt_perception.gpu.lending import Lender
from trt_perception.gpu.memory import MemoryUse
from trt_perception.gpu.trace import Span, Trace
from trt_perception.kernels.decoders import DeviceDecoder
from trt_perception.kernels.dense_head import MOST_DETECTIONS
from trt_perception.kernels.letterbox import DEVICE_ENCODINGS
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.batch_entry import Entries
from trt_perception.pipeline.device_slot import Slot, Streams
from trt_perception.pipeline.device_stages import HostDecode, KernelStages, MakeStages
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline
from trt_perception.pipeline.stopwatch import Stopwatch
from trt_perception.preprocessing.colour import check_frame, to_bgr
from trt_perception.preprocessing.letterbox import Letterbox, Size
from trt_perception.results import DecodeSettings
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.device_protocol import Profiled, Shapes
from trt_perception.runtime.layer_times import LayerTime
from trt_perception.runtime.selection import BackendChoice

log = logging.getLogger(__name__)


MOST_RESULTS = 6
"""Results that may be looked at without a copy of their own; more are copied."""

MOST_FRAMES = 32
"""Frames in memory of `DevicePipeline.frame_memory`."""


class _Readable(NamedTuple):
    """A frame that the kernels can read, and what it shows.

    Attributes:
        frame: its bytes as they go to the device.
        size: how many of them belong to the image.
        source: the frame as it came, or the picture that was made of it.
    """

    frame: Frame
    size: int
    source: Frame | NDArray[np.uint8]


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
        self._make_stages = make_stages
        self._rows = side_inputs_for(spec, network.inputs)
        self._overlap = overlap
        self._copies_apart = overlap or copies_apart
        self._on_cpu = on_cpu
        self._instead: PerceptionPipeline | None = None
        self._rebuilt = False
        self._gone = ''
        self._trace: Trace | None = None
        self._batches = 0
        self._slots: deque[Slot] = deque()
        self._set_up()

    # The main path

    def submit(self, frames: Sequence[Frame]) -> Future[list[Perceived]]:
        """Begin with a batch; `finish` gives what `process` returns or raises.

        With `overlap`, a second batch may be given before the first is through.

        Raises:
            FrameError: a frame cannot be used.
        """
        readable = [self._checked(frame) for frame in frames]
        return self._begin(readable) if self._instead is None else self._done_on_cpu(readable)

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
            if self._instead is None and not self._gone and self._network.owner.lost:
                self._recover(error)
            raise

    def _begin(self, readable: Sequence[_Readable]) -> Future[list[Perceived]]:
        if self._gone:
            refused: Future[list[Perceived]] = Future()
            refused.set_exception(DeviceLostError(self._gone))
            return refused
        wanted = self.settings, self.pictures  # as of now, whenever the batch's turn comes
        return self._network.owner.submit(lambda gpu: self._enqueue(gpu, readable, *wanted))

    def _enqueue(
        self, gpu: Gpu, readable: Sequence[_Readable], settings: DecodeSettings, pictures: bool
    ) -> InFlight[list[Perceived]]:
        """Queue every stage of a batch. In the owner's thread; waits for nothing."""
        streams, slot = self._streams, self._free_slot()
        frames = [one.frame for one in readable]
        # convert
        images = slot.copy_in(frames, [one.size for one in readable], streams.copy_in)
        # preprocess
        shapes, tensors = self._place(gpu, len(frames))
        streams.follow(streams.compute, streams.copy_in, slot.entered)
        slot.begin(streams.compute)
        letterboxes = self._letterbox.enqueue(images, tensors[self._image], streams.compute)
        slot.prepared.record(streams.compute)
        # infer
        self._network.device.enqueue()
        slot.inferred.record(streams.compute)
        # decode
        decoder = self._decoder_of(gpu, shapes, settings, pictures=pictures)
        scratch = self._buffers.device('scratch', decoder.scratch_bytes(letterboxes))
        nbytes = decoder.result_bytes(letterboxes)
        result = slot.result(nbytes)
        decoder.enqueue(tensors, letterboxes, settings, scratch, result, streams.compute)
        slot.decoded.record(streams.compute)
        streams.follow(streams.copy_out, streams.compute, slot.decoded)
        found = slot.copy_out(decoder.head_bytes(letterboxes), nbytes, streams.copy_out)

        def finish() -> list[Perceived]:
            reading = time.perf_counter()
            slot.copy_rest(found, decoder.rest(found, letterboxes), streams.copy_out)
            results = decoder.read(slot.kept(found), letterboxes, settings)
            stages_ms = self._timed(slot, reading)
            pairs = zip(results, readable, strict=True)
            return [Perceived(result, one.source, dict(stages_ms)) for result, one in pairs]

        slot.in_flight = InFlight(slot.done, finish)
        return slot.in_flight

    def _free_slot(self) -> Slot:
        """The slot whose turn it is; what is still under way in it is finished first."""
        slot = self._slots[0]
        self._slots.rotate(-1)
        if slot.in_flight is not None:
            slot.in_flight.settle()
        self._batches += 1
        slot.batch = self._batches
        return slot

    def _timed(self, slot: Slot, reading: float) -> dict[str, float]:
        if self._trace is not None:
            slot.trace(self._trace)
        stages_ms = slot.stages_ms()
        stages_ms['decode'] += (time.perf_counter() - reading) * 1e3
        return stages_ms

    # As the pipeline on the CPU offers it

    def process_all(self, batches: Iterable[Sequence[Frame]]) -> Iterator[list[Perceived]]:
        """See `PerceptionPipeline.process_all`. Each batch begins before the one before ends."""
        if not self._overlap or self._instead is not None:
            yield from super().process_all(batches)
            return
        under_way: deque[Future[list[Perceived]]] = deque()
        for frames in batches:
            under_way.append(self.submit(frames))
            if len(under_way) >= len(self._slots):  # none are left where the GPU is gone
                yield self.finish(under_way.popleft())
        while under_way:
            yield self.finish(under_way.popleft())

    def _readable(self, frame: Frame) -> Any:
        try:
            return self._checked(frame)
        except FrameError as error:
            error.forget_frames()
            return error

    def _checked(self, frame: Frame) -> _Readable:
        """Raises FrameError if the frame cannot be used."""
        if frame.encoding in DEVICE_ENCODINGS:
            return _Readable(frame, check_frame(frame), frame)
        image = to_bgr(frame)
        plain = Frame.from_bgr(image, stamp_ns=frame.stamp_ns, frame_id=frame.frame_id)
        return _Readable(plain, plain.data.size, image)

    def _look(self, images: Sequence[_Readable], watch: Stopwatch) -> list[Perceived]:
        begun = self._begin(images) if self._instead is None else self._done_on_cpu(images)
        return self.finish(begun)

    def _done_on_cpu(self, images: Sequence[_Readable]) -> Future[list[Perceived]]:
        assert self._instead is not None
        self._instead.settings = self.settings
        done: Future[list[Perceived]] = Future()
        try:
            done.set_result(self._instead.process([one.frame for one in images]))
        except PerceptionError as error:
            done.set_exception(error)
        return done

    def warm_up(self) -> None:
        """See `PerceptionPipeline.warm_up`. Outputs stay where they are: gates look for NaN."""
        self.process([self._grey_frame()])

    def make_room(self, batch: int) -> None:
        """See `PerceptionPipeline.make_room`.

        The largest batch first: smaller ones then find room in what it took. The other way
        round each size would take memory of its own.
        """
        for _ in range(2):  # the second run may be recorded
            self.process([self._grey_frame()] * batch)

    def leave_network(self) -> None:
        """Free everything on the GPU but the network, for another pipeline to use it."""
        self._tear_down()

    def close(self) -> None:
        """Free everything on the GPU. A second call does nothing."""
        self._tear_down()
        super().close()
        if self._instead is not None:
            self._instead.close()

    # What is held on the GPU

    @property
    def memory(self) -> MemoryUse:
        """What the pipeline holds besides the network's weights and scratch memory."""
        lent = self._lent.use + self._frames.use
        return self._buffers.use + self._network.buffers.use + lent

    def frame_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory for a camera's bytes that goes to the GPU without a copy on the host.

        Write a frame into it, or into a view, and give that to `process`. It must not change
        until the result is there. It is lent again when no view of it is left. Where no more can
        be locked it is ordinary memory, and the frame is copied.

        Returns:
            uint8 [nbytes].
        """
        lent = self._frames.lend_free(nbytes)
        if lent is None:
            with contextlib.suppress(InferenceError):  # the GPU is lost or closed
                lent = self._network.owner.call(lambda gpu: self._frames.lend(nbytes))
        return super().frame_memory(nbytes) if lent is None else lent

    def has_lent(self, frame: Frame) -> bool:
        """Whether a frame lies in memory of `frame_memory`."""
        return self._frames.holds(frame.data)

    def network_times(self, batch: int, count: int, *, runs: int = 1) -> list[float]:
        """Milliseconds of the network alone; see `DeviceNetwork.time_ms`."""
        return self._network.time_ms(self._input_shapes(batch), count, runs)

    def layers(self, batch: int, runs: int) -> list[LayerTime]:
        """How long each layer of the network takes, where its backend says so.

        Raises:
            InferenceError: it does not.
        """

        def profile(gpu: Gpu) -> list[LayerTime]:
            self._place(gpu, batch)
            device = self._network.device
            if not isinstance(device, Profiled):
                raise InferenceError(f'{device.backend} does not time its layers')
            return device.layers(runs)

        return self._network.owner.call(profile)

    def start_trace(self, place: str = '', beside: Trace | None = None) -> Trace:
        """From now on note when the GPU does what.

        Args:
            place: what comes before the name of each lane.
            beside: the trace of another pipeline, where times begin as there.
        """

        def begin(gpu: Gpu) -> Trace:
            origin = gpu.event()
            origin.record(self._network.stream)
            origin.synchronize()
            return Trace(origin, place)

        trace = self._network.owner.call(begin) if beside is None else beside.beside(place)
        self._trace = trace
        return trace

    def stop_trace(self) -> list[Span]:
        """What was noted since `start_trace`."""
        trace, self._trace = self._trace, None
        if trace is None:
            return []
        self._network.owner.call(lambda gpu: trace.release())
        return trace.spans

    def _set_up(self) -> None:
        self._network.owner.call(self._allocate_all)
        # Two batches under way are as two users; see `GpuOwner.users`.
        self._network.owner.users += self._overlap

    def _allocate_all(self, gpu: Gpu) -> None:
        self._buffers = gpu.buffers()
        self._streams = Streams(gpu, self._network.stream, apart=self._copies_apart)
        self._decoders: dict[object, DeviceDecoder] = {}
        self._image = self.runtime.inputs[0].name
        self._shapes: dict[int, Shapes] = {}
        self._rows_at: tuple[object, ...] = ()
        self._lent = Lender(gpu.host_lock, MOST_RESULTS)
        self._frames = Lender(gpu.host_lock, MOST_FRAMES)
        lent = self._lent, self._frames
        entries = Entries(self._letterbox_of)
        self._stages = self._make_stages(gpu)
        try:
            self._letterbox = self._stages.letterbox(self.spec.input, self._input_dtype)
            for number in range(2 if self._overlap else 1):
                slot = Slot(gpu, self._buffers, *lent, entries, number, apart=self._copies_apart)
                self._slots.append(slot)
        except BaseException:
            self._slots.clear()
            self._stages.close()
            del self._streams
            raise

    def _letterbox_of(self, source: Size) -> Letterbox:
        spec = self.spec.input
        return Letterbox.fit(source, spec.size, spec.resize, spec.pad, spec.shorter_side)

    def _tear_down(self) -> None:
        if not self._slots:
            return
        owner = self._network.owner
        owner.users -= self._overlap
        try:
            owner.call(self._free_all)
        except InferenceError:  # a lost GPU has freed its memory
            self._forget()

    def _free_all(self, gpu: Gpu) -> None:
        for slot in self._slots:
            if slot.in_flight is not None:
                slot.in_flight.settle()
        gpu.release(self._buffers)
        self._lent.close()
        self._frames.close()
        self._stages.close()
        self._forget()

    def _forget(self) -> None:
        """Streams, events and kernels go with their last use, in the owner's thread if it lives."""
        self._slots.clear()
        self._decoders.clear()
        del self._streams, self._letterbox, self._stages
        self._trace = None

    def _place(self, gpu: Gpu, batch: int) -> tuple[Shapes, dict[str, int]]:
        """Shapes and addresses of the network's tensors; its constant inputs are filled."""
        shapes, tensors = self._network.place(self._input_shapes(batch))
        if self._rows:
            self._fill_rows(gpu, batch, tensors)
        return shapes, tensors

    def _fill_rows(self, gpu: Gpu, batch: int, tensors: dict[str, int]) -> None:
        place = (batch, *(tensors[name] for name in self._rows))
        if place == self._rows_at:
            return
        gpu.driver.Context.synchronize()  # a batch under way still reads what was there
        for name, row in self._rows.items():
            gpu.driver.memcpy_htod(tensors[name], np.repeat(row, batch, axis=0))
        # Out of ordinary memory a copy may still be on its way, and our streams do not wait for it.
        gpu.driver.Context.synchronize()
        self._rows_at = place

    def _input_shapes(self, batch: int) -> Shapes:
        """The same object for the same batch; see `DeviceNetwork.place`."""
        if batch not in self._shapes:
            width, height = self.spec.input.size
            rows = {name: (batch, *row.shape[1:]) for name, row in self._rows.items()}
            self._shapes[batch] = {self._image: (batch, 3, height, width), **rows}
        return self._shapes[batch]

    def _decoder_of(
        self, gpu: Gpu, shapes: Shapes, settings: DecodeSettings, *, pictures: bool
    ) -> DeviceDecoder:
        """What decodes outputs of these shapes: a kernel if there is one, else the CPU."""
        by_kernel = settings.max_detections <= MOST_DETECTIONS
        key = shapes[self._image][0], by_kernel, pictures
        decoder = self._decoders.get(key)
        if decoder is None:
            outputs = self._network.outputs
            real = [replace(spec, shape=shapes[spec.name]) for spec in outputs]
            decoder = self._stages.decode(self.spec, real, pictures) if by_kernel else None
            decoder = decoder or HostDecode(self._decoder, gpu, outputs, shapes)
            self._decoders[key] = decoder
        return decoder

    # When the GPU is lost

    def _recover(self, error: DeviceLostError) -> None:
        """Make everything anew, once; then go on on the CPU, if that is allowed.

        Raises:
            InferenceError: it goes on; only what was under way is lost.
            DeviceLostError: it cannot, now and with every later frame.
        """
        told = f'{error}'
        if not self._rebuilt:
            self._rebuilt = True
            try:
                self._rebuild()
            except PerceptionError as again:
                told = f'{error}. Setting it up anew failed: {again}'
                log.warning('%s', told)
            else:
                raise InferenceError(f'{error}. It was set up anew and goes on') from error
        self._tear_down()
        self._network.close()
        if self._on_cpu is not None:
            try:
                self._instead = self._on_cpu()
            except PerceptionError as neither:
                told = f'{told}. The CPU cannot go on either: {neither}'
            else:
                self.choice = replace(self._instead.choice, reason=f'the GPU was lost: {error}')
                raise InferenceError(f'{error}. It goes on on the CPU') from error
        self._gone = told
        raise DeviceLostError(told) from error

    def _rebuild(self) -> None:
        self._tear_down()
        self._network.close()
        self._network.open()
        self._set_up()
        self._begin([self._checked(self._grey_frame())]).result()
