import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.frames import Frame
from trt_perception.gpu.host_copy import HostCopy
from trt_perception.kernels.letterbox import DEVICE_ENCODINGS
from trt_perception.preprocessing.colour import check_frame, to_bgr

COLOURS = ('bgr8', '8UC3', 'rgb8', 'bgra8', 'rgba8')


def frame_of(encoding, width, height, padding=0, seed=0):
    channels = 4 if 'a8' in encoding else 3 if encoding in COLOURS else 2
    step = width * channels + padding
    data = np.random.default_rng(seed).integers(0, 256, step * height * 2, np.uint8)
    return Frame(data, height, width, step, encoding)


def copied(frame):
    plan = HostCopy(frame, frame.data[: check_frame(frame)])
    target = np.full(plan.nbytes + 1, 7, np.uint8)
    end = 0
    for start, part in plan.pieces(target[:-1]):
        assert start == end
        assert np.shares_memory(part, target)
        end += len(part)
    assert end == plan.nbytes
    assert target[-1] == 7
    return Frame(target[:-1], frame.height, frame.width, plan.step, plan.encoding)


@settings(max_examples=40, deadline=None)
@given(
    encoding=st.sampled_from(sorted(DEVICE_ENCODINGS)),
    width=st.integers(1, 40).map(lambda n: 2 * n),
    height=st.integers(1, 40).map(lambda n: 2 * n),
    padding=st.integers(0, 9),
)
def test_the_copy_shows_the_same_picture(encoding, width, height, padding):
    frame = frame_of(encoding, width, height, padding)
    if 'a16' in encoding or 'r16' in encoding or 'b16' in encoding:
        frame = Frame(
            np.resize(frame.data, 16 * width * height), height, width, 8 * width, encoding
        )
    np.testing.assert_array_equal(to_bgr(copied(frame)), to_bgr(frame))


@pytest.mark.parametrize('encoding', COLOURS)
@pytest.mark.parametrize(('width', 'height'), [(1, 1), (1920, 1080), (4000, 3), (3, 4000)])
def test_large_and_narrow_pictures_are_copied_in_pieces(encoding, width, height):
    frame = frame_of(encoding, width, height, padding=5)
    copy = copied(frame)
    assert copy.encoding != frame.encoding
    assert copy.step == width * (4 if encoding.endswith('a8') else 3), 'packed'
    np.testing.assert_array_equal(to_bgr(copy), to_bgr(frame))


def test_the_last_rows_padding_may_be_missing():
    frame = frame_of('bgr8', 8, 4, padding=16)
    short = Frame(frame.data[: 3 * frame.step + 24], 4, 8, frame.step, 'bgr8')
    np.testing.assert_array_equal(to_bgr(copied(short)), to_bgr(frame))


def test_read_only_data_is_read():
    frame = frame_of('bgr8', 8, 4)
    frame.data.flags.writeable = False
    np.testing.assert_array_equal(to_bgr(copied(frame)), to_bgr(frame))
