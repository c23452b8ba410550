"""Changes the size and the encoding of a source's frames."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from trt_perception.errors import FrameError
from trt_perception.frames import Frame
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.encode import check_encoding, encode
from trt_perception.sources.source import Source


class ConvertedSource(Source):
    """Another source with its frames resized, encoded anew, or both.

    A frame that cannot be read is counted in `skipped` by its cause.
    """

    def __init__(self, source: Source, *, size: tuple[int, int] | None, encoding: str) -> None:
        """Wrap `source`, which is closed with this one.

        Raises:
            ParameterError: the encoding is unknown, or needs an even size and `size` is odd.
        """
        super().__init__(source.name)
        check_encoding(encoding, size or source.size)
        self._source = source
        self._encoding = encoding
        self._resize_to = size
        self.size = size or source.size
        self.count = source.count
        self.rate = source.rate
        self.stamps = source.stamps
        self.continuous = source.continuous
        self.live = source.live
        self.endless = source.endless
        self.skipped = source.skipped

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            self.label = self._source.label
            if self._fits(frame):
                yield frame
                continue
            try:
                image = to_bgr(frame)
            except FrameError as error:
                self.skipped[error.cause] += 1
                continue
            if self._resize_to is not None and image.shape[1::-1] != self._resize_to:
                shrinks = self._resize_to[0] < image.shape[1]
                way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
                image = np.asarray(cv2.resize(image, self._resize_to, interpolation=way), np.uint8)
            yield encode(image, self._encoding, stamp_ns=frame.stamp_ns, frame_id=frame.frame_id)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _fits(self, frame: Frame) -> bool:
        size_fits = self._resize_to in (None, (frame.width, frame.height))
        return size_fits and frame.encoding == self._encoding
