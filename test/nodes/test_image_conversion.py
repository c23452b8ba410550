"""cv_bridge, for what the pipeline does not read itself."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from trt_perception.errors import FrameError
from trt_perception.frames import Frame
from trt_perception.nodes import image_conversion
from trt_perception.nodes.image_conversion import by_cv_bridge, readable
from trt_perception.preprocessing.colour import to_bgr

RANDOM = np.random.default_rng(7)
BYTES = {
    'bgr8': 3, 'rgb8': 3, 'bgra8': 4, 'rgba8': 4, 'mono8': 1, 'mono16': 2, 'yuv422': 2,
    'yuv422_yuy2': 2, 'bayer_rggb8': 1, 'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1,
}  # fmt: skip


def frame(encoding: str, pixel_bytes: int) -> Frame:
    data = RANDOM.integers(0, 256, 16 * 12 * pixel_bytes, np.uint8)
    return Frame(data, 12, 16, 16 * pixel_bytes, encoding, stamp_ns=5, frame_id='camera')


def test_what_the_pipeline_reads_is_left_alone():
    ours = frame('bgr8', 3)
    assert readable(ours) is ours


def test_without_cv_bridge_an_unknown_encoding_is_refused_by_the_pipeline(monkeypatch):
    monkeypatch.setattr(image_conversion, '_cv_bridge', lambda: None)
    with pytest.raises(FrameError, match='unknown image encoding') as caught:
        to_bgr(readable(frame('8SC3', 3)))
    assert caught.value.cause == 'unknown_encoding'


@pytest.mark.parametrize('encoding', BYTES)
def test_cv_bridge_and_the_pipeline_agree(encoding):
    bridge = pytest.importorskip('cv_bridge', reason='not installed').CvBridge()
    ours = frame(encoding, BYTES[encoding])
    theirs = by_cv_bridge(ours, bridge)
    assert (theirs.stamp_ns, theirs.frame_id) == (5, 'camera')
    difference = to_bgr(ours).astype(int) - to_bgr(theirs)
    # cv_bridge rounds 16 bits to 8, the pipeline takes the high byte.
    assert np.abs(difference).max() <= (1 if encoding == 'mono16' else 0)


def test_cv_bridge_refuses_what_it_does_not_know():
    bridge = pytest.importorskip('cv_bridge', reason='not installed').CvBridge()
    with pytest.raises(FrameError, match='cv_bridge refuses it too'):
        by_cv_bridge(frame('no_such_thing', 3), bridge)


def test_a_frame_that_is_cut_off_never_reaches_cv_bridge():
    """It reads past the end, or raises whatever numpy raises."""
    whole = frame('8SC3', 3)
    cut = Frame(whole.data[:-1], whole.height, whole.width, whole.step, whole.encoding)
    with pytest.raises(FrameError) as caught:
        by_cv_bridge(cut, bridge=None)
    assert caught.value.cause == 'short_data'
