"""How much memory the masks of an image may take."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

FIRST_ROOM, MOST_ROOM = 4, 32
"""Room for the masks of an image at first and at most, as a multiple of its pixels."""

LEAST_ROOM = 1 << 20
"""Bytes of room for the masks of small images."""

PATIENCE = 1000
"""Batches that are served with less after a shortage before more may be asked for again. To be
refused costs a frame: after each time it waits for twice as many."""


class MaskRoom:
    """Some times the pixels of an image: more where masks need it, less where there is none.

    Belongs to the thread that owns the GPU.
    """

    def __init__(self) -> None:
        """Nothing was needed or refused yet."""
        self._room, self._most = FIRST_ROOM, MOST_ROOM
        self._patience = self._wait = PATIENCE
        self._told = False

    def bytes_for(self, area: int) -> int:
        """Room for the masks of an image of so many pixels, in a batch that begins now."""
        return max(self._room * area, LEAST_ROOM)

    def lacked(self, needed: int, area: int) -> None:
        """The masks of an image of `area` pixels needed more bytes than they had."""
        room = min(-(-2 * needed // area), self._most)
        nbytes = max(room * area, LEAST_ROOM)
        grows = nbytes > self.bytes_for(area)
        if needed > nbytes and not self._told:
            self._told = True
            log.warning(
                'the masks of one image need %d bytes, and no more than %d are taken: weak objects '
                'come without. Raise the score threshold, or lower max_detections',
                *(needed, nbytes),
            )
        elif grows:
            log.warning(
                'the masks of one image need %d bytes: some weak objects came without. From the '
                'next image on there is room for %d',
                *(needed, nbytes),
            )
        if grows:
            self._room = room

    def ask_less(self) -> None:
        """There was no room for a result: ask for half, down to what it is at first."""
        if self._room > FIRST_ROOM:
            self._room = self._most = max(self._room // 2, FIRST_ROOM)
            self._wait = self._patience
            self._patience *= 2

    def served(self) -> None:
        """The result of a batch could be had. After many, as much as was refused may be tried."""
        self._wait -= 1
        if self._wait > 0:
            return
        if self._most == MOST_ROOM:  # and not refused for a while
            self._patience = PATIENCE
        self._most = min(2 * self._most, MOST_ROOM)
        self._wait = PATIENCE
