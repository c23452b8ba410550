"""Images that were published and never taken. Needs no ROS to be imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Missed:
    """Images that were published between one that was taken and the one taken before.

    Attributes:
        replaced: how many waited in the middleware until a newer one took their place.
        lost: how many never got there. Also those that came while the node waited, and were
            replaced before the processor had time to wake it: numbers do not tell these apart,
            and neither do times of arrival nor Fast DDS's event for lost messages, which keeps
            silent where a reliable publisher overwrites what it could not send.
    """

    replaced: int = 0
    lost: int = 0

    def __add__(self, other: Missed) -> Missed:
        return Missed(self.replaced + other.replaced, self.lost + other.lost)


class SequenceGaps:
    """Finds images that were never taken, by the publisher's numbers of those that were.

    Attributes:
        one_publisher: whether the numbers come from one publisher, as far as is known.
    """

    def __init__(self) -> None:
        """Start; the first image has none before it."""
        self.one_publisher = True
        self._newest: int | None = None
        self._empty = False

    def emptied(self) -> None:
        """Nothing waited: whatever came has been taken."""
        self._empty = True

    def looked_away(self) -> None:
        """Nobody waits for a while: what comes meanwhile replaces what came before it."""
        self._empty = False

    def left_out(self) -> None:
        """One was taken whose number is not known."""
        if self._newest is not None:
            self._newest += 1

    def missed(self, number: int | None) -> Missed:
        """What went missing before the image of this number.

        Args:
            number: of the publication; None where the middleware or the distribution has none.
        """
        before, self._newest = self._newest, number
        nothing_waited, self._empty = self._empty, False
        if number is None or before is None:
            return Missed()
        if number <= before:  # another publisher, or the same one started anew
            self.one_publisher = False
        if not self.one_publisher:
            return Missed()
        gap = number - before - 1
        return Missed(lost=gap) if nothing_waited else Missed(replaced=gap)
