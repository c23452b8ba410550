"""cv_bridge for the encodings that the pipeline does not read itself, where it is installed.

The pipeline's own conversion reads every encoding that it knows without a copy where that can
be, heeds `step` and byte order, and needs no ROS. So cv_bridge comes second: it adds what the
installed distribution knows beyond that.
"""

from __future__ import annotations

import array
from functools import lru_cache
from typing import Any

from sensor_msgs.msg import Image

from trt_perception.errors import FrameError
from trt_perception.frames import Frame
from trt_perception.preprocessing.colour import ENCODINGS


def readable(frame: Frame) -> Frame:
    """The frame itself if the pipeline reads its encoding, else as cv_bridge converts it.

    Raises:
        FrameError: neither knows the encoding, or the frame is shorter than its header says.
    """
    if frame.encoding in ENCODINGS:
        return frame
    bridge = _cv_bridge()
    return frame if bridge is None else by_cv_bridge(frame, bridge)


def by_cv_bridge(frame: Frame, bridge: Any) -> Frame:
    """The frame as bgr8, converted by a `cv_bridge.CvBridge`.

    Raises:
        FrameError: cv_bridge does not know the encoding or cannot convert it to BGR, or the
            frame is shorter than its header says.
    """
    if frame.data.size < frame.step * frame.height:
        raise FrameError(
            'short_data',
            f'{frame.encoding} image of {frame.width}x{frame.height} pixels: needs '
            f'{frame.step * frame.height} bytes of data, has {frame.data.size}',
        )
    message = Image(
        height=frame.height,
        width=frame.width,
        step=frame.step,
        encoding=frame.encoding,
        is_bigendian=int(frame.big_endian),
        data=array.array('B', frame.data.tobytes()),
    )
    try:
        image = bridge.imgmsg_to_cv2(message, 'bgr8')
    except Exception as error:  # besides its own, cv_bridge lets those of numpy and OpenCV out
        raise FrameError(
            'unknown_encoding',
            f'unknown image encoding {frame.encoding!r}: cv_bridge refuses it too ({error}). '
            f'Known: {", ".join(ENCODINGS)}',
        ) from error
    return frame.showing(image)


@lru_cache(maxsize=1)
def _cv_bridge() -> Any:
    """A CvBridge, or None where it is not installed or does not fit the installed numpy."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:  # built for another numpy, it fails in ways of its own
        return None
