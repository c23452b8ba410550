import struct
import zlib

import cv2
import numpy as np
import pytest

from trt_perception.errors import FrameError
from trt_perception.preprocessing.image_file import check_image_file

LIMIT = 10_000


def cause_of(data, limit=LIMIT):
    try:
        check_image_file(np.frombuffer(data, np.uint8), limit)
    except FrameError as error:
        return error.cause
    return None


def encoded(extension, height, width, *options):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(extension, image, list(options))[1].tobytes()


def test_no_bytes_are_left_to_the_decoder():
    assert cause_of(b'') is None


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_the_size_is_read_from_the_header(extension):
    data = encoded(extension, 50, 80)
    assert cause_of(data, 50 * 80) is None
    assert cause_of(data, 50 * 80 - 1) == 'too_large'


def test_progressive_jpegs_with_restart_markers_pass():
    data = encoded(
        '.jpg', 50, 80, cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2
    )
    assert cause_of(data) is None


def test_bytes_after_the_end_are_allowed():
    # Some cameras fill their buffer up.
    assert cause_of(encoded('.jpg', 50, 80) + bytes(5000)) is None


def test_a_thumbnail_does_not_end_the_image():
    thumbnail = encoded('.jpg', 8, 8)
    data = encoded('.jpg', 50, 80)
    segment = b'\xff\xe1' + struct.pack('>H', len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    assert cause_of(whole) is None
    assert cause_of(whole[:-200]) == 'corrupt'


def test_every_cut_of_a_jpeg_is_found():
    data = encoded('.jpg', 16, 16)
    for length in range(2, len(data) - 1):
        assert cause_of(data[:length]) == 'corrupt', length


def test_a_png_that_claims_too_much_is_refused_before_it_is_decoded():
    header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b'\x89PNG\r\n\x1a\n'
    for kind, body in ((b'IHDR', header), (b'IDAT', zlib.compress(b'')), (b'IEND', b'')):
        data += struct.pack('>I', len(body)) + kind + body
        data += struct.pack('>I', zlib.crc32(kind + body))
    assert cause_of(data) == 'too_large'
