"""Puts together what belongs to one image: messages of several topics with one stamp."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar('Item')


@dataclass(frozen=True)
class Group(Generic[Item]):
    """Items of one stamp.

    Attributes:
        stamp_ns: their stamp, nanoseconds.
        items: by the name of their input; the anchor's is always there.
        missing: inputs of which nothing came.
    """

    stamp_ns: int
    items: Mapping[str, Item]
    missing: frozenset[str]


@dataclass
class _Open(Generic[Item]):
    """A group that still waits for something."""

    since_s: float
    items: dict[str, Item] = field(default_factory=dict)


class StampPairing(Generic[Item]):
    """Pairs an anchor, such as the image, with partners of exactly the same stamp.

    A group is handed out as soon as it is complete. One that still waits then and is older is
    left out: its partners were dropped on their way, and a picture without them between two
    complete ones would flicker. Where nothing completes, a group is handed out as it is after
    `timeout_s`, or when `capacity` others wait behind it.

    Groups leave in the order in which their first item came, which need not be the order of
    their stamps: a recording that starts again goes back in time. Used by one thread at a time.

    Attributes:
        left_out: anchors that were given up for a newer, complete group.
    """

    def __init__(
        self, anchor: str, partners: Iterable[str], *, timeout_s: float, capacity: int = 16
    ) -> None:
        """Start with nothing.

        Args:
            anchor: the input without which there is no group.
            partners: the other inputs; none makes every anchor a complete group.
            timeout_s: seconds that a group waits for its partners.
            capacity: groups that wait at most, at least 1. Bounds the memory in use.
        """
        if capacity < 1:
            raise ValueError(f'capacity must be at least 1, not {capacity}')
        self.left_out = 0
        self._anchor = anchor
        self._inputs = frozenset((anchor, *partners))
        self._timeout_s = timeout_s
        self._capacity = capacity
        self._open: OrderedDict[int, _Open[Item]] = OrderedDict()
        self._closed: deque[int] = deque(maxlen=capacity)

    def __len__(self) -> int:
        """How many groups wait."""
        return len(self._open)

    def add(self, name: str, stamp_ns: int, item: Item, now_s: float) -> list[Group[Item]]:
        """Take one item in; returns the groups that can be handed out now, mostly none or one.

        A partner that comes after its group was handed out is left out. An item of an input and
        a stamp that already wait takes the place of the earlier one.

        Args:
            name: its input. ValueError for one that was not announced.
            stamp_ns: its stamp, nanoseconds.
            item: anything.
            now_s: seconds of a clock that never goes back.
        """
        if name not in self._inputs:
            raise ValueError(f'{name!r} is not one of {sorted(self._inputs)}')
        if name != self._anchor and stamp_ns not in self._open and stamp_ns in self._closed:
            return self.overdue(now_s)
        group = self._open.setdefault(stamp_ns, _Open(now_s))
        group.items[name] = item
        if len(group.items) == len(self._inputs):
            self._drop_before(stamp_ns)
            return [self._close(stamp_ns)]
        ready = self.overdue(now_s)
        while len(self._open) > self._capacity:
            ready += self._close_oldest()
        return ready

    def overdue(self, now_s: float) -> list[Group[Item]]:
        """The groups that have waited for `timeout_s` at `now_s`, oldest first."""
        ready: list[Group[Item]] = []
        while self._open:
            oldest = next(iter(self._open.values()))
            if now_s - oldest.since_s < self._timeout_s:
                break
            ready += self._close_oldest()
        return ready

    def clear(self) -> int:
        """Forget everything that waits; returns how many anchors were among it."""
        anchors = sum(self._anchor in group.items for group in self._open.values())
        self._open.clear()
        self._closed.clear()
        return anchors

    def _drop_before(self, stamp_ns: int) -> None:
        while next(iter(self._open)) != stamp_ns:
            dropped, group = self._open.popitem(last=False)
            self._closed.append(dropped)
            self.left_out += self._anchor in group.items

    def _close_oldest(self) -> list[Group[Item]]:
        stamp_ns = next(iter(self._open))
        group = self._close(stamp_ns)
        return [group] if self._anchor in group.items else []

    def _close(self, stamp_ns: int) -> Group[Item]:
        group = self._open.pop(stamp_ns)
        self._closed.append(stamp_ns)
        return Group(stamp_ns, group.items, self._inputs - set(group.items))
