"""How much time has passed from one frame to the next, by their stamps."""

from __future__ import annotations

_NS = 1_000_000_000


class FrameClock:
    """Reads intervals off stamps. Stamp 0 is the first moment of a video, or none at all.

    A frame without a stamp comes `usual_s` after another one without a stamp. A stamp of 0 after
    a later one is a clock that went back: a video that begins again.
    """

    def __init__(self, usual_s: float = 0.1) -> None:
        """`usual_s`: seconds between frames that have no stamps."""
        self._usual_ns = round(usual_s * _NS)
        self._before_ns: int | None = None
        self._unstamped = True

    @property
    def state(self) -> tuple[int, ...]:
        """What it goes on from: nanoseconds of the frame before, if any, and whether stamped."""
        before = () if self._before_ns is None else (self._before_ns,)
        return (int(self._unstamped), *before)

    @state.setter
    def state(self, state: tuple[int, ...]) -> None:
        self._unstamped = bool(state[0])
        self._before_ns = state[1] if len(state) > 1 else None

    def reset(self) -> None:
        """The next frame is the first."""
        self._before_ns = None
        self._unstamped = True

    def tick(self, stamp_ns: int, longest_s: float) -> float | None:
        """Seconds since the frame before.

        Args:
            stamp_ns: of this frame; 0 where it has none.
            longest_s: a longer gap is a new beginning.

        Returns:
            None at a beginning: of the first frame, when the clock went back, or after a gap.
        """
        before_ns, now_ns = self._before_ns, stamp_ns
        if stamp_ns == 0 and self._unstamped and before_ns is not None:
            now_ns = before_ns + self._usual_ns
        self._before_ns, self._unstamped = now_ns, stamp_ns == 0
        if before_ns is None:
            return None
        seconds = (now_ns - before_ns) / _NS
        return seconds if 0 <= seconds <= longest_s else None
