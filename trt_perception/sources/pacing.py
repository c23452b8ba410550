"""Hands the frames of a source over at the pace of a camera, from a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from trt_perception.errors import PerceptionError, SourceError
from trt_perception.frames import Frame
from trt_perception.sources.source import Source, Stamps

DEFAULT_RATE = 10.0
"""Frames per second of a source that has no rate of its own."""

log = logging.getLogger(__name__)

State = Literal['opening', 'running', 'lost', 'finished', 'stopped']


@dataclass(frozen=True)
class Delivery:
    """One frame on its way.

    Attributes:
        frame: as the source gave it.
        stamps: what its stamp means.
        read_ms: milliseconds that the source took to come up with it.
    """

    frame: Frame
    stamps: Stamps
    read_ms: float


@dataclass(frozen=True)
class Progress:
    """How far the thread has come.

    Attributes:
        state: 'lost' means that the source failed and is opened again after a while.
        delivered: frames handed over.
        late: frames that should have been handed over by now and were not, because the source
            or the receiver took longer than a frame's time.
        rate: frames per second that are aimed at; None where a camera sets the pace itself.
        error: why the source was lost, '' while it is not.
    """

    state: State = 'opening'
    delivered: int = 0
    late: int = 0
    rate: float | None = None
    error: str = ''


class PacedSource:
    """Opens a source, hands its frames to `deliver` one by one, and opens it again if it fails.

    A camera sets its own pace. From all others a frame is read ahead and held until its time. A
    frame that is not ready by then is handed over at once. If it is a whole frame's time late or
    more, the following ones keep their distance from it: nothing is hurried to catch up.
    """

    def __init__(
        self,
        opener: Callable[[], Source],
        deliver: Callable[[Delivery], None],
        *,
        rate: float | None = None,
        count: int = 0,
        retry_s: float = 2.0,
    ) -> None:
        """Prepare; nothing is opened before `start`.

        Args:
            opener: opens the source.
            deliver: takes one frame; called in the thread. What it raises ends nothing: it is
                logged, and the next frame comes.
            rate: frames per second; None takes the source's own, or `DEFAULT_RATE`.
            count: frames to hand over before it finishes; 0 goes on for ever.
            retry_s: seconds before a lost source is opened again.
        """
        self._opener = opener
        self._deliver = deliver
        self._rate = rate
        self._count = count
        self._retry_s = retry_s
        self._progress = Progress()
        self._source: Source | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name='source', daemon=True)

    @property
    def progress(self) -> Progress:
        """How far it has come. From any thread."""
        return self._progress

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Close the source and end the thread; False if it still works after `timeout_s`."""
        self._stopping.set()
        with self._lock:
            if self._source is not None:
                self._source.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._pass()
                self._note(state='stopped' if self._stopping.is_set() else 'finished')
                return
            except PerceptionError as error:
                self._lost(str(error))
            except Exception as error:  # a library's own errors must not end the camera either
                log.exception('the source failed')
                self._lost(f'{type(error).__name__}: {error}')
            self._stopping.wait(self._retry_s)
        self._note(state='stopped')

    def _pass(self) -> None:
        source = self._open()
        if source is None:
            return
        try:
            rate = self._rate or source.rate or DEFAULT_RATE
            self._note(rate=None if source.live else rate)
            delivered_before = self._progress.delivered
            self._hand_over(source)
            if self._progress.delivered == delivered_before and not self._stopping.is_set():
                raise SourceError(f'{source.name}: holds no image that can be read')
        finally:
            with self._lock:
                self._source = None
            source.close()

    def _open(self) -> Source | None:
        source = self._opener()
        with self._lock:
            if not self._stopping.is_set():
                self._source = source
                return source
        source.close()
        return None

    def _hand_over(self, source: Source) -> None:
        due_s: float | None = None
        for frame, read_ms in _timed(iter(source)):
            # Time runs from the first frame on: opening a source may take long.
            due_s = self._wait_until(time.monotonic() if due_s is None else due_s)
            if self._stopping.is_set():
                return
            self._note(state='running', error='')
            try:
                self._deliver(Delivery(frame, source.stamps, read_ms))
            except Exception:
                log.exception('a frame could not be handed over')
            self._note(delivered=self._progress.delivered + 1)
            if self._progress.delivered == self._count:
                return

    def _wait_until(self, due_s: float) -> float:
        """Wait for a frame's time; returns the time of the next one."""
        rate = self._progress.rate
        if rate is None:
            return due_s
        now = time.monotonic()
        if now <= due_s:
            self._stopping.wait(due_s - now)
            return due_s + 1 / rate
        missed = int((now - due_s) * rate)
        if missed:
            self._note(late=self._progress.late + missed)
            due_s = now
        return due_s + 1 / rate

    def _lost(self, error: str) -> None:
        if error != self._progress.error:
            log.error('%s. Trying again every %g s', error, self._retry_s)
        self._note(state='lost', error=error)

    def _note(self, **changes: object) -> None:
        self._progress = replace(self._progress, **changes)  # type: ignore[arg-type]


def _timed(frames: Iterator[Frame]) -> Iterator[tuple[Frame, float]]:
    """Each frame with the milliseconds that it took to be read."""
    while True:
        start = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame, (time.perf_counter() - start) * 1e3
