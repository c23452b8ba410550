"""Frames of several cameras that wait for one network, and which of them go next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar('Item')

QUIET_S = 1.0
"""Seconds without a frame after which no batch waits for a camera any more."""


@dataclass
class _Slot(Generic[Item]):
    """The place of one camera.

    Attributes:
        item: its newest frame, if one waits.
        since_s: when the first frame came that was not served since.
        newest_s: when its newest frame came.
        turn: number of the batch in which it was served last.
    """

    item: Item | None = None
    since_s: float = 0.0
    newest_s: float = -math.inf
    turn: int = 0


class WaitingFrames(Generic[Item]):
    """One place for each camera, in which the newest frame wins, and batches taken from them.

    A batch is closed as soon as it is full, when every camera that still delivers has a frame in
    it, or when the frame that has waited longest is due. So a camera that is slow or dead delays
    nobody. When not all fit, those go first that were served least recently. Used by one thread.
    """

    def __init__(self, cameras: int, *, max_batch: int, deadline_s: float) -> None:
        """Start with nothing.

        Args:
            cameras: how many there are, at least 1.
            max_batch: frames in a batch at most, at least 1.
            deadline_s: seconds that a frame waits for others at most; 0 takes what is there.

        Raises:
            ValueError: one of them is below its least value.
        """
        if cameras < 1 or max_batch < 1 or deadline_s < 0:
            raise ValueError(f'{cameras} cameras, batches of {max_batch}, {deadline_s} s')
        self._slots: list[_Slot[Item]] = [_Slot() for _ in range(cameras)]
        self._max_batch = max_batch
        self._deadline_s = deadline_s
        self._turn = 0

    def put(self, camera: int, item: Item, now_s: float) -> Item | None:
        """Leave a camera's frame; returns the one it replaced, None if the place was free.

        Args:
            camera: its number, from 0.
            item: the frame.
            now_s: when it came, seconds of a clock that never goes back.
        """
        slot = self._slots[camera]
        replaced, slot.item = slot.item, item
        slot.newest_s = now_s
        if replaced is None:
            slot.since_s = now_s
        return replaced

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until the next batch is closed: 0 for now, None where nothing waits."""
        waiting = list(self._waiting())
        if not waiting:
            return None
        delivering = sum(now_s - slot.newest_s <= QUIET_S for slot in self._slots)
        if len(waiting) >= min(self._max_batch, delivering):
            return 0.0
        oldest_s = min(slot.since_s for _, slot in waiting)
        return max(0.0, oldest_s + self._deadline_s - now_s)

    def take(self) -> list[tuple[int, Item]]:
        """Close the batch: the cameras and their frames, the least recently served first."""
        self._turn += 1
        waiting = sorted(self._waiting(), key=lambda pair: (pair[1].turn, pair[1].since_s))
        batch = []
        for camera, slot in waiting[: self._max_batch]:
            assert slot.item is not None
            batch.append((camera, slot.item))
            slot.item = None
            slot.turn = self._turn
        return batch

    def clear(self) -> list[tuple[int, Item]]:
        """Take everything that waits away."""
        left = []
        for camera, slot in self._waiting():
            assert slot.item is not None
            left.append((camera, slot.item))
            slot.item = None
        return left

    def _waiting(self) -> Iterator[tuple[int, _Slot[Item]]]:
        return ((camera, s) for camera, s in enumerate(self._slots) if s.item is not None)
