"""One network on the GPU for several workers: weights once, an execution context for each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from trt_perception.gpu.cuda_driver import Stream
from trt_perception.gpu.device import Gpu
from trt_perception.runtime.device_protocol import DeviceRuntime


def contexts_wanted(max_batch: int | None, cameras: int, *, each: bool) -> int:
    """How many execution contexts a network shall have.

    Args:
        max_batch: images that it takes at once; None: any number.
        cameras: whose frames come at the same time.
        each: a context for each of them, also where the network would take all in one batch.
    """
    return cameras if each or max_batch == 1 else 1


class Weights(Protocol):
    """A network that is loaded, without what a worker needs to run it."""

    def close(self) -> None:
        """Free them, after their last context."""
        ...


Loaded = TypeVar('Loaded', bound=Weights)

Closed = Callable[[], None]
"""To be called by a context when it is closed."""


class SharedNetwork(Generic[Loaded]):
    """Loads a network with its first context and frees it with its last.

    `stream` and `open` are what a `DeviceNetwork` is made with, for as many of these as there are
    workers. Used in the GPU owner's thread only.
    """

    def __init__(
        self,
        load: Callable[[Gpu, Stream], Loaded],
        context: Callable[[Loaded, Stream, int, Closed], DeviceRuntime],
        *,
        concurrent: bool = False,
    ) -> None:
        """Load nothing yet.

        Args:
            load: loads the weights; the stream is that of the first context.
            context: makes an execution context that works in a stream; its number is the least
                that no other one has.
            concurrent: each context has a stream of its own, so that several run at the same
                time. Without, all work in one stream, one after the other.
        """
        self._load = load
        self._context = context
        self._concurrent = concurrent
        self._gpu: Gpu | None = None
        self._stream: Stream | None = None
        self._loaded: Loaded | None = None
        self._numbers: set[int] = set()

    def stream(self, gpu: Gpu) -> Stream:
        """In which the next context shall work."""
        self._look_at(gpu)
        if self._concurrent:
            return gpu.stream()
        if self._stream is None:
            self._stream = gpu.stream()
        return self._stream

    def open(self, gpu: Gpu, stream: Stream) -> DeviceRuntime:
        """A new context; see `device_protocol.OpenDevice`.

        Raises:
            PerceptionError: of `load` and `context`.
        """
        self._look_at(gpu)
        number = next(n for n in itertools.count() if n not in self._numbers)
        try:
            if self._loaded is None:
                self._loaded = self._load(gpu, stream)
            made = self._context(self._loaded, stream, number, lambda: self._closed(gpu, number))
        except BaseException:
            self._free_unused()
            raise
        self._numbers.add(number)
        return made

    def _look_at(self, gpu: Gpu) -> None:
        """Begin anew where the GPU was lost since: what was on it is gone with its context."""
        if self._gpu is not gpu:
            self._forget()
            self._gpu = gpu

    def _closed(self, gpu: Gpu, number: int) -> None:
        if gpu is self._gpu:
            self._numbers.discard(number)
            self._free_unused()

    def _free_unused(self) -> None:
        if self._numbers:
            return
        if self._loaded is not None:
            self._loaded.close()
        self._forget()

    def _forget(self) -> None:
        self._gpu = self._stream = self._loaded = None
        self._numbers.clear()
