"""Frames of several cameras that wait for one network, and which of them go next."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Generic, TypeVar

from trt_perception.pipeline.arrivals import Arrivals

Item = TypeVar('Item')

QUIET_S = 1.0
"""Seconds without a frame after which no batch waits for a camera any more."""

_REMEMBERED = 9
"""Latest batches, which tell how long the next one takes."""

_MOST_LOAD = 0.7
"""Part of the time that frames may ask for; beyond it gaps are rare, and waiting costs frames."""

_LONGEST_BATCHES = 2
"""Times of a batch that a frame waits for a gap at most."""


@dataclass
class _Slot(Generic[Item]):
    """The place of one camera.

    Attributes:
        item: its newest frame, if one waits.
        since_s: when the first frame came that was not served since.
        turn: number of the batch in which it was served last.
        arrivals: of its frames.
    """

    item: Item | None = None
    since_s: float = 0.0
    turn: int = 0
    arrivals: Arrivals = field(default_factory=Arrivals)

    def delivers(self, now_s: float) -> bool:
        return now_s - self.arrivals.newest_s <= QUIET_S


class WaitingFrames(Generic[Item]):
    """One place for each camera, in which the newest frame wins, and batches taken from them.

    A batch is closed as soon as it is full, when every camera that still delivers has a frame in
    it, or when the frame that has waited longest is due. So a camera that is slow or dead delays
    nobody. When not all fit, those go first that were served least recently.

    A camera that is faster than others does not delay them either: its frame is begun while none
    of a slower camera is expected before it would be through. It waits for such a gap until its
    camera's next frame would replace it, for the time of two batches at most, and not where the
    network has little time to spare. Used by one thread.
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
        self._worked_s: deque[float] = deque(maxlen=_REMEMBERED)

    def put(self, camera: int, item: Item, now_s: float) -> Item | None:
        """Leave a camera's frame; returns the one it replaced, None if the place was free.

        Args:
            camera: its number, from 0.
            item: the frame.
            now_s: when it came, seconds of a clock that never goes back.
        """
        slot = self._slots[camera]
        replaced, slot.item = slot.item, item
        slot.arrivals.note(now_s)
        if replaced is None:
            slot.since_s = now_s
        return replaced

    def due_in_s(self, now_s: float, max_age_s: float = 0.0) -> float | None:
        """Seconds until the next batch is closed: 0 for now, None where nothing waits.

        Args:
            now_s: by the clock of `put`.
            max_age_s: at which a frame is of no use; it waits for a gap half as long. 0: never.
        """
        waiting = [slot for _, slot in self._waiting()]
        if not waiting:
            return None
        due_s = max(
            self._closed_s(waiting, now_s), self._gap_s(waiting, now_s, max_age_s or math.inf)
        )
        return max(0.0, due_s - now_s)

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

    def worked(self, seconds: float) -> None:
        """So long took the batch that was taken last. Nothing waits for a gap before the first."""
        self._worked_s.append(seconds)

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

    def _closed_s(self, waiting: Sequence[_Slot[Item]], now_s: float) -> float:
        """When the batch is closed if only these are looked at."""
        delivering = sum(slot.delivers(now_s) for slot in self._slots)
        if len(waiting) >= min(self._max_batch, delivering):
            return now_s
        return min(slot.since_s for slot in waiting) + self._deadline_s

    def _gap_s(self, waiting: Sequence[_Slot[Item]], now_s: float, max_age_s: float) -> float:
        """When a gap between frames of slower cameras begins, or there is no more time for one."""
        if not self._worked_s:
            return now_s
        work_s = median(self._worked_s)
        gap_s = now_s
        for slower in self._slots_awaited(waiting, now_s):
            expected = slower.arrivals.expected_s(now_s)
            if expected and expected[0] < now_s + work_s:
                gap_s = max(gap_s, expected[1])
        if gap_s == now_s or self._load(work_s, now_s) > _MOST_LOAD:
            return now_s
        most_s = min(_LONGEST_BATCHES * work_s, max_age_s / 2)
        latest_s = min(slot.since_s for slot in waiting) + most_s
        for slot in waiting:
            if own := slot.arrivals.expected_s(now_s):
                latest_s = min(latest_s, own[0] - work_s)
        return min(gap_s, latest_s)

    def _load(self, work_s: float, now_s: float) -> float:
        """Part of the time that all frames would take, each alone in its batch."""
        periods_s = (slot.arrivals.period_s for slot in self._slots if slot.delivers(now_s))
        return sum(work_s / period_s for period_s in periods_s if period_s is not None)

    def _slots_awaited(self, waiting: Sequence[_Slot[Item]], now_s: float) -> list[_Slot[Item]]:
        """The cameras that deliver, and more slowly than each of these."""
        return [
            slot
            for slot in self._slots
            if slot.item is None
            and slot.delivers(now_s)
            and all(one.arrivals.faster_than(slot.arrivals) for one in waiting)
        ]
