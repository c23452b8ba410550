"""Work that the GPU still does after the thread that gave it has gone on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from trt_perception.gpu.cuda_driver import Event

T = TypeVar('T')


class InFlight(Generic[T]):
    """Handed to the owner by work that does not wait for the GPU. Used in its thread only."""

    def __init__(self, done: Event, finish: Callable[[], T]) -> None:
        """Say how its end is known and what is then to be done.

        Args:
            done: recorded after the last operation.
            finish: makes the result once `done` has happened.
        """
        self._done: Event = done
        self._finish: Callable[[], T] | None = finish
        self._future: Future[T] | None = None
        self._explain: Callable[[BaseException], BaseException] = lambda error: error
        self.over = False

    def attach(self, future: Future[T], explain: Callable[[BaseException], BaseException]) -> None:
        """Tell where the result goes, and what makes an error of CUDA one of this package."""
        self._future = future
        self._explain = explain

    @property
    def ready(self) -> bool:
        """Whether `settle` would not wait."""
        return self.over or bool(self._done.query())

    def settle(self) -> None:
        """Wait for the GPU and hand over the result, or the error. Again, it does nothing."""
        if self.over:
            return
        future, finish = self._future, self._finish
        assert future is not None, 'the owner attaches the future first'
        assert finish is not None, 'not over'
        try:
            self._done.synchronize()
            result = finish()
        except BaseException as error:
            self._leave()
            future.set_exception(self._explain(error))
        else:
            self._leave()
            future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Give up on it."""
        if not self.over and self._future is not None:
            self._future.set_exception(error)
        self._leave()

    def _leave(self) -> None:
        """Let go of the GPU's objects, which must not be freed in another thread, and of all else.

        Whoever keeps this would keep a frame and a result.
        """
        self.over = True
        self._done = self._finish = self._future = None
