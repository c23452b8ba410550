"""How much time has passed from one frame to the next, by their stamps."""

from __future__ import annotations

_NS = 1_000_000_000


class FrameClock:
    """Reads intervals off stamps. A frame without one comes `usual_s` after the one before."""

    def __init__(self, usual_s: float = 0.1) -> None:
        """`usual_s`: seconds between frames that have no stamps."""
        self._usual_ns = round(usual_s * _NS)
        self._before_ns: int | None = None

    def reset(self) -> None:
        """The next frame is the first."""
        self._before_ns = None

    def tick(self, stamp_ns: int, longest_s: float) -> float | None:
        """Seconds since the frame before.

        Args:
            stamp_ns: of this frame; 0 where it has none.
            longest_s: a longer gap is a new beginning.

        Returns:
            None at a beginning: of the first frame, when the clock went back, or after a gap.
        """
        before_ns, now_ns = self._before_ns, stamp_ns
        if stamp_ns == 0:
            now_ns = self._usual_ns + (before_ns or 0)
        self._before_ns = now_ns
        if before_ns is None:
            return None
        seconds = (now_ns - before_ns) / _NS
        return seconds if 0 <= seconds <= longest_s else None
