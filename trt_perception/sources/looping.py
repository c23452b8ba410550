"""Repeats a source for ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trt_perception.errors import SourceError
from trt_perception.frames import Frame
from trt_perception.sources.source import Source


class LoopedSource(Source):
    """Another source from start to end, again and again.

    Stamps of the source's own time go on rising: each pass continues one frame period after
    the last stamp of the one before.
    """

    def __init__(self, source: Source) -> None:
        """Wrap `source`, which is closed with this one."""
        super().__init__(source.name)
        self._source = source
        self._closed = False
        self.size = source.size
        self.rate = source.rate
        self.stamps = source.stamps
        self.continuous = source.continuous
        self.live = source.live
        self.endless = True
        self.skipped = source.skipped

    def __iter__(self) -> Iterator[Frame]:
        shift_ns = 0
        index = 0
        while not self._closed:
            first_ns: int | None = None
            newest_ns = 0
            for frame in self._source:
                first_ns = frame.stamp_ns if first_ns is None else first_ns
                newest_ns = max(newest_ns, frame.stamp_ns)
                self.label = f'{index:06d}'
                index += 1
                yield self._shifted(frame, shift_ns)
                if self._closed:
                    return
            if first_ns is None:
                raise SourceError(f'{self.name}: holds no frame that could be repeated')
            shift_ns += newest_ns - first_ns + round(1e9 / (self.rate or 10.0))

    def close(self) -> None:
        """End a running iteration and close the source."""
        self._closed = True
        self._source.close()

    def _shifted(self, frame: Frame, shift_ns: int) -> Frame:
        if self.stamps == 'none' or shift_ns == 0:
            return frame
        return replace(frame, stamp_ns=frame.stamp_ns + shift_ns)
