"""The one thread that touches the GPU; all others hand it work.

It retains the GPU's primary context, which TensorRT, onnxruntime and cuda-bindings share, and
pushes it for one piece of work at a time. Between two pieces the thread holds no context: a
thread that ends with one takes the whole process with it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from trt_perception.closing import Closing
from trt_perception.errors import BackendUnavailableError, InferenceError, PerceptionError
from trt_perception.gpu.cuda_driver import (
    Driver,
    HostLock,
    current,
    device_of,
    import_pycuda,
    reset_primary_context,
    retained_context,
    started,
)
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.faults import explained, lost_gpu
from trt_perception.gpu.in_flight import InFlight

log = logging.getLogger(__name__)

T = TypeVar('T')
Work = Callable[[Gpu], T | InFlight[T]]

_POLL_S = 0.00005
"""Seconds between two looks at work in flight while other users may bring new work."""

_END_S = 10.0
"""Seconds that the thread has to finish what it works on."""


class _Task(NamedTuple):
    work: Work[Any]
    future: Future[Any]


class GpuOwner(Closing):
    """Owns one GPU of this process; see the module's text.

    Attributes:
        users: how many wait for results independently of each other. With one, the thread
            sleeps until the GPU is done; with more it looks out for new work meanwhile.
    """

    def __init__(
        self,
        driver: Driver | None = None,
        ordinal: int = 0,
        reset: Callable[[int], int] = reset_primary_context,
        host_lock: HostLock | None = None,
    ) -> None:
        """Start the thread and retain the context.

        Args:
            driver: pycuda.driver; None imports it.
            ordinal: the GPU's number in CUDA's order.
            reset: clears the primary context after a fault.
            host_lock: page-locks memory; None: the driver does.

        Raises:
            BackendUnavailableError: there is no driver, no such GPU, it is too old, or it
                gives no context.
        """
        self.users = 1
        self._driver = import_pycuda() if driver is None else started(driver)
        self._ordinal = ordinal
        self._reset = reset
        self._host_lock = host_lock or HostLock()
        self._lost = ''
        # No SimpleQueue: where a thread is held up within its `get`, a short timeout may turn
        # negative there, and then it waits for ever.
        self._tasks: queue.Queue[_Task | None] = queue.Queue()
        self._in_flight: deque[InFlight[Any]] = deque()
        self._lock = threading.Lock()
        self._closed = False
        begun: Future[None] = Future()
        # A daemon: a process that ends without `close` must not wait for it; see `_at_exit`.
        self._thread = threading.Thread(
            target=self._run, args=(begun,), name=f'gpu-{ordinal}', daemon=True
        )
        self._thread.start()
        begun.result()
        _OWNERS.add(self)

    @property
    def lost(self) -> str:
        """Why the GPU's context is gone; '' while it is there."""
        return self._lost

    def submit(self, work: Work[T]) -> Future[T]:
        """Have work done in the owner's thread.

        Args:
            work: returns its result; or what it left in flight, so that other work can begin
                before the GPU is through with it.

        Returns:
            Gives the result, or raises what the work raised. An error of CUDA becomes a
            GpuMemoryError, a DeviceLostError where it has ended the context, else an
            InferenceError.
        """
        task = _Task(work, Future())
        with self._lock:
            if self._closed or self._lost:
                task.future.set_exception(self._gone())
            else:
                self._tasks.put(task)
        return task.future

    def call(self, work: Work[T]) -> T:
        """Have work done in the owner's thread and wait for it; see `submit`."""
        assert threading.current_thread() is not self._thread, 'it would wait for itself'
        return self.submit(work).result()

    def close(self) -> None:
        """Finish what was handed over, free everything, end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._tasks.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_S)
            if self._thread.is_alive():
                log.error('the GPU still works after %.0f s; its memory is not freed', _END_S)
        _OWNERS.discard(self)

    # In the owner's thread

    def _run(self, begun: Future[None]) -> None:
        try:
            device = device_of(self._driver, self._ordinal)
            context = retained_context(self._driver, device)
        except BaseException as error:
            begun.set_exception(error)
            return
        try:
            try:
                with current(context):
                    gpu = Gpu(self._driver, device, self._host_lock)
            except self._driver.Error as error:
                begun.set_exception(
                    BackendUnavailableError(f'the GPU {self._ordinal} cannot be used: {error}')
                )
                return
            begun.set_result(None)
            self._work(gpu, context)
        finally:
            with contextlib.suppress(self._driver.Error):
                context.detach()
            if self._lost:
                status = self._reset(self._ordinal)
                log.warning('the GPU was reset for this process: status %d', status)

    def _work(self, gpu: Gpu, context: Any) -> None:
        """Serve, then end. Whatever happens, nobody waits for a thread that is gone."""
        try:
            self._serve(gpu, context)
            self._end(gpu, context)
        except BaseException as error:  # such as a context that somebody else destroyed
            log.exception('the thread of the GPU failed')
            with self._lock:
                self._lost = self._lost or f'{error}' or type(error).__name__
            self._give_up_left()

    def _serve(self, gpu: Gpu, context: Any) -> None:
        """Work until the end, or until the context is lost."""
        while not self._lost:
            if self._in_flight:
                try:
                    task = self._task_meanwhile()
                except queue.Empty:
                    with current(context):
                        self._settle_oldest(context)
                    continue
            else:
                task = self._tasks.get()
            if task is None:
                return
            self._begin(task, gpu, context)
            del task  # with the frames that it holds

    def _task_meanwhile(self) -> _Task | None:
        """New work while there is some in flight; raises queue.Empty if it should be settled."""
        if self.users <= 1:
            return self._tasks.get_nowait()
        return self._tasks.get(timeout=_POLL_S)

    def _begin(self, task: _Task, gpu: Gpu, context: Any) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            with current(context):
                result = task.work(gpu)
        except BaseException as error:
            task.future.set_exception(self._explained(error, context))
            return
        if isinstance(result, InFlight):
            result.attach(task.future, lambda error: self._explained(error, context))
            self._in_flight.append(result)
        else:
            task.future.set_result(result)

    def _settle_oldest(self, context: Any) -> None:
        oldest = self._in_flight[0]
        try:
            ready = self.users <= 1 or oldest.ready
        except self._driver.Error:
            ready = True  # so that it tells its error
        if ready:
            oldest.settle()
            self._in_flight.popleft()

    def _explained(self, error: BaseException, context: Any) -> BaseException:
        """The package's error for one that work raised; notices whether the context is lost."""
        try:
            # A fault of the GPU stays: every later call fails as well.
            with current(context):
                context.synchronize()
        except Exception as fault:  # whatever it is: who waits for an answer must get one
            with self._lock:
                self._lost = self._lost or f'{error}' or f'{fault}'
            return self._gone()
        return explained(self._driver, error)

    def _gone(self) -> PerceptionError:
        return lost_gpu(self._lost) if self._lost else InferenceError('the GPU has been closed')

    def _end(self, gpu: Gpu, context: Any) -> None:
        """Settle or give up what is left, then free everything."""
        with current(context):
            while self._in_flight and not self._lost:
                self._settle_oldest(context)
            self._give_up_left()
            gpu.close()

    def _give_up_left(self) -> None:
        """Tell everybody who still waits."""
        for left in self._in_flight:
            left.fail(self._gone())
        self._in_flight.clear()
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None and task.future.set_running_or_notify_cancel():
                task.future.set_exception(self._gone())


_OWNERS: weakref.WeakSet[GpuOwner] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    """A daemon thread that dies while it holds a context would abort the process."""
    for owner in list(_OWNERS):
        owner.close()
