"""A place for one item between two threads: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar('Item')


class NewestFrame(Generic[Item]):
    """Holds at most one item. A new one replaces one that nobody has taken yet."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> Item | None:
        """Leave an item; returns the one it replaced, None if the place was free.

        After `close` the item itself comes back: nobody will take it.
        """
        with self._ready:
            if self._closed:
                return item
            replaced, self._item = self._item, item
            self._ready.notify()
            return replaced

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Wait for an item and take it; None after `timeout_s` seconds or once closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> Item | None:
        """Wake whoever waits, refuse further items; returns the item nobody took, if any."""
        with self._ready:
            self._closed = True
            item, self._item = self._item, None
            self._ready.notify_all()
            return item
