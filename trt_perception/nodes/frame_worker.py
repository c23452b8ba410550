"""The one thread that takes the cameras' frames and works on them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from trt_perception.errors import FrameError
from trt_perception.nodes.camera_input import CameraInput
from trt_perception.nodes.frame_subscription import Arrival
from trt_perception.nodes.image_wait import ImageWait
from trt_perception.pipeline.statistics import LOST, REPLACED
from trt_perception.pipeline.waiting_frames import WaitingFrames

_MOST_AT_ONCE = 100
"""Images taken from one camera in a row: more cannot wait in its queue."""

_AFTER_A_FAULT_S = 0.1

Taken = tuple[CameraInput, Arrival]


class FrameWorker:
    """Takes the newest frame of each camera, and hands batches of them to `work`.

    Everything that belongs to the work (network, GPU context) is touched by this thread only.
    While it works, newer images replace older ones in the middleware.
    """

    def __init__(
        self,
        cameras: Sequence[CameraInput],
        wait: ImageWait,
        waiting: WaitingFrames[Arrival],
        *,
        work: Callable[[Sequence[Taken]], None],
        worked: Callable[[], None] = lambda: None,
        failed: Callable[[Exception], None],
        paused: Callable[[], str],
        max_age: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            cameras: with their subscriptions.
            wait: for these subscriptions.
            waiting: a place for each camera, in the same order.
            work: handles one batch; sees to frames that fail by itself.
            worked: called when that is through with a batch.
            failed: told of whatever else goes wrong; the next image is served.
            paused: the cause for which frames are dropped now; '' for none.
            max_age: seconds after which `work` drops a frame; 0 for never.
        """
        self._cameras = tuple(cameras)
        self._wait = wait
        self._waiting = waiting
        self._work = work
        self._worked = worked
        self._failed = failed
        self._paused = paused
        self._max_age = max_age
        self._stopping = threading.Event()
        self._began_s: float | None = None
        self._thread = threading.Thread(target=self._run, name='perception', daemon=True)

    @property
    def working_s(self) -> float:
        """Seconds since it began to take images, or the batch in work; 0 while it waits for some.

        Any thread may ask.
        """
        began_s = self._began_s
        return 0.0 if began_s is None else time.perf_counter() - began_s

    def start(self) -> None:
        """Start the thread. A worker starts once; make a new one after `stop`."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Let the batch in work finish, drop what waits, end the thread.

        Returns:
            False if the thread still works after `timeout_s`.
        """
        self._stopping.set()
        self._wait.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception as error:  # whatever it was, the robot wants the next image
                self._failed(error)
                self._stopping.wait(_AFTER_A_FAULT_S)
        for number, _ in self._waiting.clear():
            self._cameras[number].dropped(REPLACED)

    def _turn(self) -> None:
        with self._at_work():  # an image is taken into memory of the GPU, which may hang
            self._collect()
        due_in_s = self._waiting.due_in_s(time.perf_counter(), self._max_age())
        if due_in_s == 0.0:
            for camera in self._cameras:
                assert camera.subscription is not None
                camera.subscription.looked_away()
            with self._at_work() as began_s:
                try:
                    self._work([(self._cameras[n], arrival) for n, arrival in self._waiting.take()])
                finally:
                    self._waiting.worked(time.perf_counter() - began_s)
            self._worked()
        else:
            self._wait.wait(due_in_s)

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[float]:
        """Within it, `working_s` counts; gives the moment since when, by time.perf_counter."""
        self._began_s = began_s = time.perf_counter()
        try:
            yield began_s
        finally:
            self._began_s = None

    def _collect(self) -> None:
        """Take what is there, without waiting."""
        for number, camera in enumerate(self._cameras):
            assert camera.subscription is not None
            for _ in range(_MOST_AT_ONCE):
                try:
                    arrival = camera.subscription.take()
                except FrameError as error:
                    camera.frame_in()
                    camera.left_out(error)
                    continue
                if arrival is None:
                    break
                self._arrived(number, camera, arrival)

    def _arrived(self, number: int, camera: CameraInput, arrival: Arrival) -> None:
        missed = arrival.missed
        camera.frame_in(1 + missed.replaced + missed.lost)
        for cause, count in ((REPLACED, missed.replaced), (LOST, missed.lost)):
            if count:
                camera.dropped(cause, count)
        if cause := self._paused():
            camera.dropped(cause)
        elif self._waiting.put(number, arrival, arrival.received_s) is not None:
            camera.dropped(REPLACED)
