"""An image read where its bytes lie is the image that rclpy reads."""

from __future__ import annotations

import array
import struct

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rclpy._rclpy_pybind11 import RCLError
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from trt_perception.errors import FrameError
from trt_perception.nodes.image_taking import difference
from trt_perception.nodes.serialised_images import read_image

TEXTS = st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=12)
UINT32 = st.integers(0, 2**32 - 1)


@st.composite
def images(draw) -> Image:
    image = Image(
        height=draw(UINT32),
        width=draw(UINT32),
        step=draw(UINT32),
        encoding=draw(TEXTS),
        is_bigendian=draw(st.integers(0, 255)),
        data=array.array('B', draw(st.binary(max_size=40))),
    )
    image.header.frame_id = draw(TEXTS)
    image.header.stamp.sec = draw(st.integers(-(2**31), 2**31 - 1))
    image.header.stamp.nanosec = draw(UINT32)
    return image


def as_bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def big_endian(image: Image) -> bytes:
    """As a machine of the other order sends it."""

    def text(value: str) -> bytes:
        data = value.encode() + b'\0'
        return struct.pack('>I', len(data)) + data

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    stamp = image.header.stamp
    head = padded(struct.pack('>iI', stamp.sec, stamp.nanosec) + text(image.header.frame_id))
    head += struct.pack('>II', image.height, image.width)
    head = padded(head + text(image.encoding) + struct.pack('>B', image.is_bigendian))
    return b'\0\0\0\0' + head + struct.pack('>II', image.step, len(image.data)) + image.data


def test_an_empty_image():
    image = read_image(as_bytes(serialize_message(Image())))
    assert (image.sec, image.nanosec) == (0, 0)
    assert (image.frame.height, image.frame.width, image.frame.data.size) == (0, 0, 0)
    assert image.frame.encoding == ''


def test_no_bytes_are_no_image():
    with pytest.raises(FrameError, match='0 bytes do not begin as CDR') as caught:
        read_image(np.empty(0, np.uint8))
    assert caught.value.cause == 'corrupt'


@settings(max_examples=50, deadline=None)
@given(images())
def test_any_image_is_read_as_rclpy_reads_it(image):
    data = as_bytes(serialize_message(image))
    assert difference(data, deserialize_message(data.tobytes(), Image)) == ''


@settings(max_examples=25, deadline=None)
@given(images())
def test_so_is_one_of_the_other_byte_order(image):
    data = big_endian(image)
    assert difference(as_bytes(data), deserialize_message(data, Image)) == ''


def test_a_text_ends_with_a_zero():
    data = big_endian(Image(encoding='mono8\0etc'))
    assert read_image(as_bytes(data)).frame.encoding == 'mono8'
    assert difference(as_bytes(data), deserialize_message(data, Image)) == ''


def test_the_pixels_are_not_copied():
    data = as_bytes(serialize_message(Image(data=array.array('B', range(200)))))
    assert np.shares_memory(read_image(data).frame.data, data)


def test_a_difference_is_named():
    image = Image(height=3, encoding='mono8', data=array.array('B', [1, 2]))
    data = as_bytes(serialize_message(image))
    image.encoding, image.data[1] = 'rgb8', 9
    image.header.stamp.nanosec = 5
    assert difference(data, image) == 'rclpy reads another data, encoding, stamp_ns, header'
    assert 'damaged in our eyes: it ends' in difference(data[:-1], image)


@settings(max_examples=50, deadline=None)
@given(images(), st.data())
def test_an_image_that_ends_too_early_is_refused(image, data):
    whole = as_bytes(serialize_message(image))
    used = len(big_endian(image))
    end = data.draw(st.integers(0, len(whole)), 'end')
    if end >= used:  # what follows the pixels may be missing
        assert difference(whole[:end], image) == ''
        return
    with pytest.raises(FrameError) as caught:
        read_image(whole[:end])
    assert caught.value.cause == 'corrupt'


@settings(max_examples=50, deadline=None)
@given(images(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=3))
@example(Image(data=array.array('B', [7])), [(0.3, 7)])
def test_a_damaged_image_is_refused_or_read_as_rclpy_reads_it(image, flips):
    data = as_bytes(serialize_message(image)).copy()
    for place, bit in flips:
        data[int(place * (len(data) - 1))] ^= 1 << bit
    try:
        read_image(data)
        wanted = deserialize_message(data.tobytes(), Image)
    except FrameError:
        return
    except RCLError:  # it may be stricter
        return
    assert difference(data, wanted) == ''
