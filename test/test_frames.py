from types import SimpleNamespace

import numpy as np
import pytest

from trt_perception.frames import COMPRESSED, Frame


def test_wraps_a_contiguous_image_without_a_copy():
    image = np.zeros((4, 6, 3), np.uint8)
    frame = Frame.from_bgr(image, stamp_ns=5, frame_id='cam')
    assert np.shares_memory(frame.data, image)
    assert (frame.width, frame.height, frame.step, frame.encoding) == (6, 4, 18, 'bgr8')
    assert (frame.stamp_ns, frame.frame_id) == (5, 'cam')


def test_copies_an_image_with_gaps_between_rows():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[:, ::2]
    frame = Frame.from_bgr(image)
    assert frame.step == 9
    assert np.array_equal(frame.data.reshape(4, 3, 3), image)


def test_wraps_file_bytes():
    frame = Frame.from_file_bytes(b'\xff\xd8\xff')
    assert frame.encoding == COMPRESSED
    assert frame.data.tolist() == [255, 216, 255]


@pytest.mark.parametrize('compressed', [False, True])
def test_a_message_is_wrapped_without_a_copy(compressed):
    header = SimpleNamespace(stamp=SimpleNamespace(sec=3, nanosec=7), frame_id='left')
    fields = {'height': 2, 'width': 3, 'step': 4, 'encoding': 'mono8', 'is_bigendian': 1}
    message = SimpleNamespace(header=header, **({} if compressed else fields))
    data = np.arange(8, dtype=np.uint8)
    frame = Frame.from_message(message, data, compressed=compressed)
    assert frame.data is data
    assert (frame.stamp_ns, frame.frame_id) == (3_000_000_007, 'left')
    shape = (frame.height, frame.width, frame.step, frame.encoding, frame.big_endian)
    assert shape == ((0, 0, 0, COMPRESSED, False) if compressed else (2, 3, 4, 'mono8', True))
