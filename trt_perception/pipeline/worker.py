"""The one thread that works on frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from trt_perception.pipeline.newest_frame import NewestFrame

Item = TypeVar('Item')


class NewestFrameWorker(Generic[Item]):
    """Calls `work` for the newest item, in its own thread, one after the other.

    Everything that belongs to the work (network, GPU context) is touched by this thread only.
    """

    def __init__(
        self,
        work: Callable[[Item], None],
        *,
        failed: Callable[[Item, Exception], None],
        dropped: Callable[[Item], None],
        name: str = 'perception',
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            work: handles one item.
            failed: told of an item for which `work` raised; the next item is served.
            dropped: told of each item that a newer one replaced or that `stop` left over.
            name: of the thread.
        """
        self._work = work
        self._failed = failed
        self._dropped = dropped
        self._slot: NewestFrame[Item] = NewestFrame()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. A worker starts once; make a new one after `stop`."""
        self._thread.start()

    def offer(self, item: Item) -> None:
        """Hand over an item without waiting; one that still waits is dropped for it."""
        replaced = self._slot.put(item)
        if replaced is not None:
            self._dropped(replaced)

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Let the item in work finish, drop the one that waits, end the thread.

        Returns:
            False if the thread still works after `timeout_s`.
        """
        left = self._slot.close()
        if left is not None:
            self._dropped(left)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._slot.closed:
            item = self._slot.take()
            if item is None:
                continue
            try:
                self._work(item)
            except Exception as error:  # one bad frame must not stop the robot
                self._failed(item, error)
