"""A frame in a form that the kernels read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trt_perception.frames import Frame
from trt_perception.kernels.letterbox import DEVICE_ENCODINGS
from trt_perception.preprocessing.colour import check_frame, to_bgr


class ReadableFrame(NamedTuple):
    """A frame as it goes to the GPU, and what it shows.

    Attributes:
        frame: its bytes as they go to the GPU.
        size: how many of them belong to the image.
        source: the frame as it came, or the picture that was made of it.
    """

    frame: Frame
    size: int
    source: Frame | NDArray[np.uint8]

    @classmethod
    def of(cls, frame: Frame) -> ReadableFrame:
        """The frame as it is; or converted, where no kernel reads its encoding.

        Raises:
            FrameError: it cannot be used.
        """
        if frame.encoding in DEVICE_ENCODINGS:
            return cls(frame, check_frame(frame), frame)
        image = to_bgr(frame)
        plain = frame.showing(image)
        return cls(plain, plain.data.size, image)
