from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.image import message_to_cvimage
from rosbags.image.image import ENCODINGMAP

from trt_perception.errors import FrameError
from trt_perception.frames import COMPRESSED, Frame
from trt_perception.preprocessing.colour import ENCODINGS, MAX_PIXELS, to_bgr

HEIGHT, WIDTH = 12, 16
BAYER = ['bayer_rggb', 'bayer_bggr', 'bayer_gbrg', 'bayer_grbg']
PIXEL_BYTES = {
    **dict.fromkeys(['mono8', '8UC1', 'nv12', 'nv21', *(f'{p}8' for p in BAYER)], 1),
    **dict.fromkeys(['mono16', *(f'{p}16' for p in BAYER)], 2),
    **dict.fromkeys(['yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'], 2),
    **dict.fromkeys(['bgr8', 'rgb8', '8UC3'], 3),
    **dict.fromkeys(['bgra8', 'rgba8'], 4),
    **dict.fromkeys(['bgr16', 'rgb16'], 6),
    **dict.fromkeys(['bgra16', 'rgba16'], 8),
}
PLANAR = ('nv12', 'nv21')
ISSUE = [
    'bgr8',
    'rgb8',
    'bgra8',
    'rgba8',
    'mono8',
    'mono16',
    'yuv422',
    'yuv422_yuy2',
    'uyvy',
    'nv12',
    'bayer_rggb8',
    'bayer_bggr8',
    'bayer_gbrg8',
    'bayer_grbg8',
]


def frame_of(encoding, *, height=HEIGHT, width=WIDTH, padding=0, big_endian=False, seed=0):
    """A frame of random bytes; its rows are `padding` bytes longer than needed."""
    step = width * PIXEL_BYTES[encoding] + padding
    rows = height * 3 // 2 if encoding in PLANAR else height
    data = np.random.default_rng(seed).integers(0, 256, rows * step, np.uint8)
    return Frame(data, height, width, step, encoding, big_endian)


def with_cause(frame):
    with pytest.raises(FrameError) as caught:
        to_bgr(frame)
    return caught.value.cause, str(caught.value)


def outcome(frame):
    """The shape of the image, or the cause why there is none."""
    try:
        return to_bgr(frame).shape
    except FrameError as error:
        return error.cause


def test_every_encoding_is_covered_here():
    assert {*PIXEL_BYTES, COMPRESSED} == set(ENCODINGS)
    assert set(ISSUE) <= set(ENCODINGS)


@pytest.mark.parametrize('encoding', PIXEL_BYTES)
@pytest.mark.parametrize(('height', 'width'), [(0, 4), (4, 0), (0, 0)])
def test_an_image_without_pixels_is_empty(encoding, height, width):
    frame = Frame(np.zeros(64, np.uint8), height, width, 64, encoding)
    assert with_cause(frame)[0] == 'empty'


@pytest.mark.parametrize('encoding', [*PIXEL_BYTES, COMPRESSED])
def test_an_image_without_data_is_empty(encoding):
    assert with_cause(Frame(np.zeros(0, np.uint8), 4, 4, 64, encoding))[0] == 'empty'


@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('encoding', sorted(set(PIXEL_BYTES) & set(ENCODINGMAP)))
def test_rosbags_image_reads_the_same(encoding, big_endian):
    # It swaps bytes of 8-bit samples too, where there is nothing to swap.
    frame = frame_of(encoding, big_endian=big_endian)
    message = SimpleNamespace(
        height=HEIGHT * 3 // 2 if encoding in PLANAR else HEIGHT,
        width=WIDTH,
        encoding=encoding,
        is_bigendian=big_endian,
        step=frame.step,
        data=frame.data,
    )
    expected = message_to_cvimage(message, 'bgr8')
    # It scales 16 bits by 1/257 where the high byte scales by 1/256, and in Bayer patterns it
    # interpolates before it scales.
    tolerance = 0 if not encoding.endswith('16') else 2 if 'bayer' in encoding else 1
    image = to_bgr(frame)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
def test_bayer_patterns_have_their_colours(pattern, bits):
    """A red surface seen through each pattern is red: no channel names are crossed."""
    colour = {'r': 200, 'g': 40, 'b': 10}
    tile = np.array([colour[letter] for letter in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(tile, (HEIGHT // 2, WIDTH // 2))
    if bits == 16:
        mosaic = mosaic.astype('<u2') << 8
    data = mosaic.view(np.uint8).reshape(-1)
    image = to_bgr(Frame(data, HEIGHT, WIDTH, WIDTH * bits // 8, f'bayer_{pattern}{bits}'))
    assert np.all(image == (10, 40, 200))


@pytest.mark.parametrize('size', [(2, 2), (2, 9), (9, 2), (3, 3)])
def test_the_smallest_bayer_images_are_not_black(size):
    width, height = size
    tile = np.tile(np.array([[200, 40], [40, 10]], np.uint8), (5, 5))[:height, :width]
    frame = Frame(np.ascontiguousarray(tile).reshape(-1), height, width, width, 'bayer_rggb8')
    assert np.all(to_bgr(frame) == (10, 40, 200))
    assert with_cause(replace(frame, width=1))[0] == 'odd_size'


@pytest.mark.parametrize(
    ('encoding', 'pair'), [('uyvy', (128, 235, 128, 16)), ('yuyv', (235, 128, 16, 128))]
)
def test_yuv_is_of_limited_range(encoding, pair):
    """Luma 235 is white and 16 black, as BT.601 has it for video."""
    image = to_bgr(Frame(np.array(pair, np.uint8), 1, 2, 4, encoding))
    assert image.tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize('encoding', PIXEL_BYTES)
@given(padding=st.integers(0, 9), whole=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_padding_of_the_rows_changes_nothing(encoding, padding, whole, seed):
    """Also where the last row has no padding."""
    tight = frame_of(encoding, seed=seed)
    rows = tight.data.reshape(-1, tight.step)
    padded = np.full((len(rows), tight.step + padding), 255, np.uint8)
    padded[:, : tight.step] = rows
    data = padded.reshape(-1)
    if not whole:
        data = data[: len(data) - padding]
    frame = replace(tight, data=data, step=tight.step + padding)
    assert np.array_equal(to_bgr(frame), to_bgr(tight))


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', ['bgr8', '8UC3'])
def test_bgr_is_not_copied(encoding, padding):
    frame = frame_of(encoding, padding=padding)
    assert np.shares_memory(to_bgr(frame), frame.data)


def test_read_only_bytes_are_read():
    for encoding in PIXEL_BYTES:
        frame = frame_of(encoding)
        still = np.frombuffer(frame.data.tobytes(), np.uint8)
        assert np.array_equal(to_bgr(replace(frame, data=still)), to_bgr(frame))


def test_of_16_bits_the_high_byte_counts():
    little = np.array([0x12FF, 0x8000], '<u2').view(np.uint8)
    big = np.array([0x12FF, 0x8000], '>u2').view(np.uint8)
    for data, big_endian in ((little, False), (big, True)):
        image = to_bgr(Frame(data, 1, 2, 4, 'mono16', big_endian))
        assert image.tolist() == [[[0x12] * 3, [0x80] * 3]]


@pytest.mark.parametrize('encoding', PIXEL_BYTES)
def test_one_byte_less_is_short_and_one_more_is_fine(encoding):
    frame = frame_of(encoding)
    cause, text = with_cause(replace(frame, data=frame.data[:-1]))
    assert cause == 'short_data'
    assert str(len(frame.data)) in text
    assert to_bgr(replace(frame, data=np.append(frame.data, np.uint8(0)))).shape[2] == 3


@pytest.mark.parametrize('encoding', PIXEL_BYTES)
@pytest.mark.parametrize('step', [0, 1, -1])
def test_a_step_below_one_row_is_refused(encoding, step):
    frame = frame_of(encoding)
    cause, text = with_cause(replace(frame, step=min(step, frame.step - 1)))
    assert cause == 'bad_step'
    assert f'step >= {frame.step}' in text


@pytest.mark.parametrize('encoding', ['uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21'])
def test_halved_chroma_needs_even_sizes(encoding):
    assert with_cause(replace(frame_of(encoding), width=15))[0] == 'odd_size'
    odd_height = replace(frame_of(encoding), height=11)
    if encoding in PLANAR:
        assert with_cause(odd_height)[0] == 'odd_size'
    else:
        assert to_bgr(odd_height).shape == (11, 16, 3)


@pytest.mark.parametrize(
    ('encoding', 'near'), [('BGR8', 'bgr8'), ('rgb', 'rgb8'), ('bayer_rgb8', 'bayer_rggb8')]
)
def test_an_unknown_encoding_names_the_closest(encoding, near):
    cause, text = with_cause(replace(frame_of('bgr8'), encoding=encoding))
    assert cause == 'unknown_encoding'
    assert f'did you mean {near!r}' in text
    assert all(known in text for known in PIXEL_BYTES)


def test_an_encoding_like_none_gets_no_guess():
    assert 'did you mean' not in with_cause(replace(frame_of('bgr8'), encoding='32FC1'))[1]


@pytest.mark.parametrize('size', [(1, 1), (1, 4000), (4000, 1), (8000, 6000)])
def test_absurd_sizes_pass(size):
    width, height = size
    image = to_bgr(Frame(np.zeros(width * height, np.uint8), height, width, width, 'mono8'))
    assert image.shape == (height, width, 3)


def test_sizes_beyond_the_limit_do_not():
    frame = Frame(np.zeros(16, np.uint8), MAX_PIXELS, 2, 2, 'mono8')
    assert with_cause(frame)[0] == 'too_large'
    assert MAX_PIXELS >= 8000 * 6000


@pytest.mark.parametrize('extension', ['.png', '.jpg', '.bmp', '.webp'])
def test_files_are_decoded(extension):
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), (9, 9), 0
    )
    data = cv2.imencode(extension, image)[1].tobytes()
    decoded = to_bgr(Frame.from_file_bytes(data))
    assert np.abs(decoded.astype(int) - image).max() <= (0 if extension in ('.png', '.bmp') else 40)


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
@pytest.mark.parametrize('share', [0.01, 0.1, 0.5, 0.9, 0.99])
def test_files_cut_off_are_corrupt(extension, share):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    data = cv2.imencode(extension, image)[1].tobytes()
    frame = Frame.from_file_bytes(data[: int(len(data) * share)])
    assert with_cause(frame)[0] == 'corrupt'


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_an_image_or_a_frame_error(data):
    # Bytes that happen to be an image are too unlikely to allow for.
    assert outcome(Frame.from_file_bytes(data)) in ('corrupt', 'too_large')


@given(
    st.sampled_from([*PIXEL_BYTES, 'other']),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(-3, 200),
    st.integers(0, 6000),
    st.booleans(),
)
def test_any_header_gives_an_image_or_a_frame_error(
    encoding, height, width, step, size, big_endian
):
    frame = Frame(np.zeros(size, np.uint8), height, width, step, encoding, big_endian)
    assert outcome(frame) in ((height, width, 3), *FrameError.CAUSES)
