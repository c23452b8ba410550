"""Several cameras on one network that takes one image at a time: an execution context for each."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import (
    FrameError,
    InferenceError,
    ModelOutputError,
    PerceptionError,
)
from trt_perception.frames import Frame
from trt_perception.gpu.memory import MemoryUse
from trt_perception.gpu.trace import Span
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.pipeline.perception import Perceived, PerceptionPipeline

Begun = tuple[DevicePipeline, Future[list[Perceived]]]


class ContextsPipeline(PerceptionPipeline):
    """Looks at each frame of a batch with another execution context of the same network.

    While the network works on one frame, the next ones are copied in and those before are
    decoded and copied out. Weights are on the GPU once; each context adds its tensors and the
    memory of one frame. See `perception.GpuUse` for what may run at the same time.

    Attributes:
        contexts: may be used by themselves as well, each by one thread at a time.
    """

    def __init__(self, contexts: Sequence[DevicePipeline], *, overlap: bool = False) -> None:
        """Put contexts of one network together.

        Args:
            contexts: at least one, warm; closed by `close`.
            overlap: of each of them, see `DevicePipeline`.
        """
        first = contexts[0]
        super().__init__(first.spec, first.runtime, first.choice)
        self.contexts = tuple(contexts)
        self._overlap = overlap
        self._lending = itertools.cycle(self.contexts)

    @property
    def max_batch(self) -> int | None:
        """See `PerceptionPipeline.max_batch`; more frames wait until a context is free."""
        return len(self.contexts)

    def process_each(self, frames: Sequence[Frame]) -> list[Perceived | PerceptionError]:
        """See `PerceptionPipeline.process_each`."""
        return [*self.process_in_turn(frames)]

    def process_in_turn(self, frames: Sequence[Frame]) -> Iterator[Perceived | PerceptionError]:
        """See `PerceptionPipeline.process_in_turn`. All frames begin before the first result."""
        for begun in self._begin(frames):
            if isinstance(begun, FrameError):
                yield begun
                continue
            try:
                yield self._finished(begun)
            except (InferenceError, ModelOutputError) as error:
                error.forget_frames()
                yield error

    def process_all(self, batches: Iterable[Sequence[Frame]]) -> Iterator[list[Perceived]]:
        """See `PerceptionPipeline.process_all`. Each batch begins before the one before ends."""
        if not self._overlap:
            yield from super().process_all(batches)
            return
        under_way: deque[list[Begun | FrameError]] = deque()
        for frames in batches:
            under_way.append(self._begin(frames))
            if len(under_way) == 2:
                yield self._all_finished(under_way.popleft())
        while under_way:
            yield self._all_finished(under_way.popleft())

    def usable(self, frame: Frame) -> Frame:
        """See `PerceptionPipeline.usable`."""
        return self.contexts[0].usable(frame)

    def warm_up(self) -> None:
        """See `PerceptionPipeline.warm_up`. All contexts were warm when they came together."""
        self.contexts[0].warm_up()

    def make_room(self, batch: int) -> None:
        """See `PerceptionPipeline.make_room`."""
        for context in self.contexts:
            context.make_room(1)

    def close(self) -> None:
        """Free everything on the GPU. A second call does nothing."""
        for context in self.contexts:
            context.close()

    # What is held on the GPU, and how long it takes

    @property
    def memory(self) -> MemoryUse:
        """See `DevicePipeline.memory`; of all contexts."""
        return sum((context.memory for context in self.contexts), MemoryUse())

    def frame_memory(self, nbytes: int) -> NDArray[np.uint8]:
        """See `DevicePipeline.frame_memory`."""
        return next(self._lending).frame_memory(nbytes)

    def network_times(self, batch: int, count: int) -> list[float]:
        """Milliseconds of the network alone, for so many images one after the other."""
        return self.contexts[0].network_times(1, count, runs=batch)

    def start_trace(self) -> None:
        """See `DevicePipeline.start_trace`; each context has lanes of its own."""
        first, *others = self.contexts
        trace = first.start_trace('context 0, ')
        for number, context in enumerate(others, 1):
            context.start_trace(f'context {number}, ', trace)

    def stop_trace(self) -> list[Span]:
        """What was noted since `start_trace`."""
        return [span for context in self.contexts for span in context.stop_trace()]

    def _begin(self, frames: Sequence[Frame]) -> list[Begun | FrameError]:
        """Hand every frame to a context: to the one that lent its memory, if it is free."""
        begun: list[Begun | FrameError] = []
        free: list[DevicePipeline] = []
        for frame in frames:
            free = free or [*self.contexts]
            context = next((one for one in free if one.has_lent(frame)), free[0])
            free.remove(context)
            begun.append(self._begun(context, frame))
        return begun

    def _begun(self, context: DevicePipeline, frame: Frame) -> Begun | FrameError:
        context.settings, context.pictures = self.settings, self.pictures
        try:
            return context, context.submit([frame])
        except FrameError as error:
            error.forget_frames()
            return error

    def _finished(self, begun: Begun) -> Perceived:
        context, future = begun
        try:
            (perceived,) = context.finish(future)
        except InferenceError:
            if context.choice.backend != self.choice.backend:  # the CPU goes on
                self.choice = context.choice
            raise
        return perceived

    def _all_finished(self, batch: Sequence[Begun | FrameError]) -> list[Perceived]:
        finished = []
        for begun in batch:
            if isinstance(begun, FrameError):
                raise begun
            finished.append(self._finished(begun))
        return finished
