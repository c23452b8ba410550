"""What every source of images offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from trt_perception.closing import Closing
from trt_perception.frames import Frame

Stamps = Literal['none', 'since_start', 'absolute']
"""What the stamps of a source's frames mean.

'none': they are 0 and the caller stamps; 'since_start': they count from the source's beginning,
as the time in a video does; 'absolute': they are the recording camera's own.
"""


class Source(Closing, ABC):
    """An iterable of frames. Each `iter()` is one pass and begins at the start.

    Attributes:
        name: what was opened, for messages and file names.
        size: (width, height) of every frame, None where unknown or changing.
        count: frames in one pass as far as the source announces it, None where unknown or endless.
        rate: frames per second, by the source's own time; None where it has none.
        stamps: what the frames' stamps mean.
        continuous: whether the frames follow each other in time, as in a video.
        live: whether the frames come at their own pace, as from a camera, and cannot wait.
        endless: whether a pass never ends by itself.
        label: name of the newest frame: a file's stem or a running number.
        skipped: what could not be read in all passes so far, by cause.
    """

    def __init__(self, name: str) -> None:
        """Start with nothing known but the name."""
        self.name = name
        self.size: tuple[int, int] | None = None
        self.count: int | None = None
        self.rate: float | None = None
        self.stamps: Stamps = 'none'
        self.continuous = False
        self.live = False
        self.endless = False
        self.label = ''
        self.skipped: Counter[str] = Counter()

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Read from the start.

        Raises:
            SourceError: the source can no longer be read at all.
        """

    def close(self) -> None:
        """Free what is held open and end a running iteration. May be called from any thread."""
