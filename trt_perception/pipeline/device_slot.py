"""One batch of frames on its way over the GPU: its memory, its events, its copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.frames import Frame
from trt_perception.gpu.cuda_driver import Stream, copy_rows_in
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.in_flight import InFlight
from trt_perception.gpu.lending import Lender
from trt_perception.gpu.memory import Buffers
from trt_perception.gpu.trace import Trace
from trt_perception.kernels.letterbox import DeviceImage
from trt_perception.pipeline.batch_entry import BatchEntry, Entries, FrameForm

_WORTH_LENDING = 1 << 18
"""Bytes from which on lending memory costs less than a copy."""

_MOST_GUESSED = 1 << 22
"""Bytes of each further part of the results that are copied before it is known to be needed."""

_NOTHING: NDArray[np.uint8] = np.empty(0, np.uint8)


class Streams:
    """Where a batch is copied in, worked on and copied out.

    Apart, these are three, so that three batches can be in them at the same time. Else they are
    one: a single batch gains nothing by waiting between streams.
    """

    def __init__(self, gpu: Gpu, compute: Stream, *, apart: bool) -> None:
        """Take the network's own stream for the work."""
        self.compute = compute
        self.copy_in = gpu.stream() if apart else compute
        self.copy_out = gpu.stream() if apart else compute

    def follow(self, later: Stream, earlier: Stream, event: Any) -> None:
        """Let one stream wait for an event of another."""
        if later is not earlier:
            later.wait_for_event(event)


class Slot:
    """Memory and events of one batch. Used in the GPU owner's thread only.

    Attributes:
        in_flight: what is under way with it; None when it is free.
        batch: number of the batch that it holds.
    """

    def __init__(
        self,
        gpu: Gpu,
        buffers: Buffers,
        results: Lender,
        frames: Lender,
        entries: Entries,
        number: int,
        *,
        apart: bool = True,
    ) -> None:
        """Nothing is allocated before the first use.

        Args:
            gpu: where.
            buffers: of the pipeline.
            results: lends memory for results.
            frames: has lent memory in which frames may be that are not copied on the host.
            entries: know how batches of frames are laid out.
            number: tells the pipeline's slots apart.
            apart: whether copies have streams of their own; see `Streams`.
        """
        self.in_flight: InFlight[Any] | None = None
        self.batch = 0
        self._driver = gpu.driver
        self._buffers = buffers
        self._results = results
        self._frames = frames
        self._entries = entries
        self._number = number
        self._guess_of = 0
        self._guess: list[slice] = []
        self.entering, self.entered = gpu.event(), gpu.event()
        self.prepared, self.inferred = gpu.event(), gpu.event()
        self.decoded, self.done = gpu.event(), gpu.event()
        # In one stream, one stage begins where the one before ends.
        self._apart = apart
        self.began = gpu.event() if apart else self.entered
        self.leaving = gpu.event() if apart else self.decoded

    def copy_in(
        self, frames: Sequence[Frame], sizes: Sequence[int], stream: Stream
    ) -> tuple[DeviceImage, ...]:
        """Queue the frames' way to the device, through page-locked memory if they are not there.

        Args:
            frames: of encodings that the kernels read.
            sizes: bytes of each that belong to the image.
            stream: for the copies.
        """
        data = [_flat(frame, size) for frame, size in zip(frames, sizes, strict=True)]
        forms = tuple(
            FrameForm.of(frame, len(part), in_place=self._frames.holds(part))
            for frame, part in zip(frames, data, strict=True)
        )
        entry = self._entries.of(forms)
        device = self._buffers.device(f'frames, slot {self._number}', entry.device_bytes)
        self.entering.record(stream)
        self._queue(entry, data, device, stream)
        self.entered.record(stream)
        return entry.images(device)

    def begin(self, stream: Stream) -> None:
        """Note that the work on what was copied in begins."""
        if self._apart:
            self.began.record(stream)

    def _queue(
        self, entry: BatchEntry, data: Sequence[NDArray[np.uint8]], device: int, stream: Stream
    ) -> None:
        staged = _NOTHING
        if entry.staged_bytes:
            staged = self._buffers.pinned(f'frames, slot {self._number}', entry.staged_bytes)
        for place, one in zip(entry.places, data, strict=True):
            target = staged[place.staged : place.staged + place.copy.staged]
            for start, part, rows in place.copy.parts(one, target):
                address = device + place.device + start
                if rows is None:
                    self._driver.memcpy_htod_async(address, part, stream)
                else:
                    copy_rows_in(self._driver, address, part, rows, stream)

    def result(self, nbytes: int) -> int:
        """Device memory for the results."""
        return self._buffers.device(f'results, slot {self._number}', nbytes)

    def copy_out(self, head: int, nbytes: int, stream: Stream) -> NDArray[np.uint8]:
        """Queue the way of the results' head to page-locked memory.

        Args:
            head: bytes to copy.
            nbytes: bytes of the results.
            stream: for the copy.

        Returns:
            uint8 [nbytes]; the head is valid after `done`.
        """
        host = self._results.lend(nbytes) if nbytes >= _WORTH_LENDING else None
        if host is None:
            host = self._buffers.pinned(f'results, slot {self._number}', nbytes)
        if self._apart:
            self.leaving.record(stream)
        device = self.result(nbytes)
        self._driver.memcpy_dtoh_async(host[:head], device, stream)
        if self._guess_of != nbytes:
            self._guess = []
        for part in self._guess:
            self._driver.memcpy_dtoh_async(host[part], device + part.start, stream)
        self.done.record(stream)
        return host

    def copy_rest(self, host: NDArray[np.uint8], parts: Sequence[slice], stream: Stream) -> None:
        """Copy further parts of the results, and wait for them.

        As much as the batch before had of them is there already: a second way to the GPU and
        back takes longer than most of what it brings.
        """
        there = {guess.start: guess.stop for guess in self._guess}
        lacking = [slice(there.get(part.start, part.start), part.stop) for part in parts]
        lacking = [part for part in lacking if part.stop > part.start]
        for part in lacking:
            address = self.result(len(host)) + part.start
            self._driver.memcpy_dtoh_async(host[part], address, stream)
        self._guess_of = len(host)
        self._guess = [_some_more(part, len(host)) for part in parts]
        if lacking:
            self.done.record(stream)
            self.done.synchronize()

    def kept(self, host: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What `copy_out` gave, in memory that results may go on looking at."""
        lent = len(host) >= _WORTH_LENDING and self._results.holds(host)
        return host if lent else host.copy()

    def stages_ms(self) -> dict[str, float]:
        """Milliseconds of each stage on the GPU, after `done`."""
        return {
            'convert': self.entered.time_since(self.entering),
            'preprocess': self.prepared.time_since(self.began),
            'infer': self.inferred.time_since(self.prepared),
            'decode': self.done.time_since(self.inferred),
        }

    def trace(self, trace: Trace) -> None:
        """Note what was done when, after `done`."""
        trace.add('copy in', 'convert', self.batch, self.entering, self.entered)
        trace.add('compute', 'preprocess', self.batch, self.began, self.prepared)
        trace.add('compute', 'infer', self.batch, self.prepared, self.inferred)
        trace.add('compute', 'decode', self.batch, self.inferred, self.decoded)
        trace.add('copy out', 'copy out', self.batch, self.leaving, self.done)


def _some_more(part: slice, end: int) -> slice:
    """What may be worth copying of a part whose length was this one in the batch before."""
    length = (part.stop - part.start) * 5 // 4
    return slice(part.start, min(part.start + min(length, _MOST_GUESSED), end))


def _flat(frame: Frame, size: int) -> NDArray[np.uint8]:
    """uint8 [size], the frame's bytes."""
    data = frame.data
    if data.ndim != 1 or data.dtype != np.uint8 or not data.flags.c_contiguous:
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return data if len(data) == size else data[:size]
