"""From any image encoding that a camera delivers to 8-bit BGR."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import FrameError
from trt_perception.frames import COMPRESSED, Frame
from trt_perception.preprocessing.image_file import check_image_file

MAX_PIXELS = 100_000_000
"""Larger images are refused: a damaged header must not exhaust the memory."""

Image = NDArray[np.uint8]


def to_bgr(frame: Frame) -> Image:
    """The frame as BGR.

    Encodings mean what they mean in ROS (sensor_msgs/image_encodings.hpp). Of 16-bit channels
    the high byte is taken, value // 256. YUV is read as BT.601 with limited range (luma 16 to
    235), as OpenCV and cv_bridge read it. Bayer patterns are interpolated bilinearly. Of nv12
    and nv21, `height` is that of the image and both planes have rows of `step` bytes. A JPEG is
    turned upright as its EXIF orientation says.

    Returns:
        uint8 [H, W, 3]. For bgr8 a view of `frame.data`, whose rows may lie apart and which may
        be read-only; else a new array.

    Raises:
        FrameError: the frame is empty, shorter than its header says, of an unknown encoding, of
            an odd size where the encoding halves it, corrupt, or larger than `MAX_PIXELS`.
    """
    if frame.encoding == COMPRESSED:
        return _decompress(frame)
    check_frame(frame)
    try:
        return _ENCODINGS[frame.encoding].convert(frame)
    except cv2.error as error:
        raise FrameError('corrupt', f'{_name(frame)}: OpenCV refuses it: {error}') from error


def check_frame(frame: Frame) -> int:
    """Make sure that an uncompressed frame can be read, without reading it.

    Returns:
        How many bytes of its data belong to the image.

    Raises:
        FrameError: as `to_bgr` does.
    """
    encoding = _ENCODINGS.get(frame.encoding)
    if encoding is None:
        raise FrameError('unknown_encoding', _unknown(frame.encoding))
    return _check(frame, encoding)


def _samples(frame: Frame, channels: int, sample_bytes: int, rows: int) -> Image:
    """View of the high byte of each sample, uint8 [rows, W] or [rows, W, channels]."""
    high = 0 if frame.big_endian else sample_bytes - 1
    data = np.ascontiguousarray(frame.data).reshape(-1).view(np.uint8)
    view: Image = np.ndarray(
        (rows, frame.width, channels),
        np.uint8,
        data,
        high,
        (frame.step, channels * sample_bytes, sample_bytes),
    )
    return view[:, :, 0] if channels == 1 else view


def _as_is(frame: Frame) -> Image:
    return _samples(frame, 3, 1, frame.height)


def _high_bytes(frame: Frame) -> Image:
    return np.ascontiguousarray(_samples(frame, 3, 2, frame.height))


def _converted(frame: Frame, *, channels: int, sample_bytes: int, code: int) -> Image:
    image = cv2.cvtColor(_samples(frame, channels, sample_bytes, frame.height), code)
    return np.asarray(image, np.uint8)


def _two_planes(frame: Frame, *, code: int) -> Image:
    """Luma, then half as many rows of both chroma channels in turn."""
    planes = _samples(frame, 1, 1, frame.height * 3 // 2)
    return np.asarray(cv2.cvtColor(planes, code), np.uint8)


def _demosaiced(frame: Frame, *, sample_bytes: int, code: int) -> Image:
    mosaic = _samples(frame, 1, sample_bytes, frame.height)
    if min(frame.height, frame.width) > 2:
        return np.asarray(cv2.cvtColor(mosaic, code), np.uint8)
    # OpenCV leaves images without an interior black, so give them one; an even border that
    # mirrors without repeating the edge continues the pattern.
    bordered = cv2.copyMakeBorder(mosaic, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.cvtColor(bordered, code), np.uint8)[2:-2, 2:-2]


@dataclass(frozen=True)
class _Encoding:
    """How to read one encoding.

    Attributes:
        convert: to BGR, after the checks.
        pixel_bytes: of one pixel in a row.
        halves_width: colour is shared by two columns.
        halves_height: colour is shared by two rows, and stored below the luma in half as many.
        mosaic: one colour a pixel.
    """

    convert: Callable[[Frame], Image]
    pixel_bytes: int
    halves_width: bool = False
    halves_height: bool = False
    mosaic: bool = False


def _plain(channels: int, code: int, sample_bytes: int = 1) -> _Encoding:
    convert = partial(_converted, channels=channels, sample_bytes=sample_bytes, code=code)
    return _Encoding(convert, channels * sample_bytes)


def _packed_yuv(code: int) -> _Encoding:
    return _Encoding(partial(_converted, channels=2, sample_bytes=1, code=code), 2, True)


def _planar_yuv(code: int) -> _Encoding:
    return _Encoding(partial(_two_planes, code=code), 1, True, True)


def _bayer(code: int, sample_bytes: int = 1) -> _Encoding:
    convert = partial(_demosaiced, sample_bytes=sample_bytes, code=code)
    return _Encoding(convert, sample_bytes, mosaic=True)


_BGR8 = _Encoding(_as_is, 3)
_MONO8 = _plain(1, cv2.COLOR_GRAY2BGR)
_UYVY = _packed_yuv(cv2.COLOR_YUV2BGR_UYVY)
_YUYV = _packed_yuv(cv2.COLOR_YUV2BGR_YUY2)

_ENCODINGS = {
    'bgr8': _BGR8,
    '8UC3': _BGR8,
    'rgb8': _plain(3, cv2.COLOR_RGB2BGR),
    'bgra8': _plain(4, cv2.COLOR_BGRA2BGR),
    'rgba8': _plain(4, cv2.COLOR_RGBA2BGR),
    'mono8': _MONO8,
    '8UC1': _MONO8,
    'mono16': _plain(1, cv2.COLOR_GRAY2BGR, 2),
    'bgr16': _Encoding(_high_bytes, 6),
    'rgb16': _plain(3, cv2.COLOR_RGB2BGR, 2),
    'bgra16': _plain(4, cv2.COLOR_BGRA2BGR, 2),
    'rgba16': _plain(4, cv2.COLOR_RGBA2BGR, 2),
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': _planar_yuv(cv2.COLOR_YUV2BGR_NV12),
    'nv21': _planar_yuv(cv2.COLOR_YUV2BGR_NV21),
    # ROS names a pattern by its upper left 2x2 pixels, as OpenCV's longer names do; OpenCV's
    # two-letter names (COLOR_BayerBG2BGR for rggb) go by the second row and column instead.
    'bayer_rggb8': _bayer(cv2.COLOR_BayerRGGB2BGR),
    'bayer_bggr8': _bayer(cv2.COLOR_BayerBGGR2BGR),
    'bayer_gbrg8': _bayer(cv2.COLOR_BayerGBRG2BGR),
    'bayer_grbg8': _bayer(cv2.COLOR_BayerGRBG2BGR),
    'bayer_rggb16': _bayer(cv2.COLOR_BayerRGGB2BGR, 2),
    'bayer_bggr16': _bayer(cv2.COLOR_BayerBGGR2BGR, 2),
    'bayer_gbrg16': _bayer(cv2.COLOR_BayerGBRG2BGR, 2),
    'bayer_grbg16': _bayer(cv2.COLOR_BayerGRBG2BGR, 2),
}

ENCODINGS: tuple[str, ...] = (*_ENCODINGS, COMPRESSED)
"""Every encoding that `to_bgr` reads."""


def _name(frame: Frame) -> str:
    return f'{frame.encoding} image of {frame.width}x{frame.height} pixels, step {frame.step}'


def _check(frame: Frame, encoding: _Encoding) -> int:
    if frame.width < 1 or frame.height < 1 or frame.data.size == 0:
        raise FrameError(
            'empty', f'{_name(frame)}, {frame.data.size} bytes of data: there is nothing in it'
        )
    if frame.width * frame.height > MAX_PIXELS:
        raise FrameError(
            'too_large', f'{_name(frame)}: more than {MAX_PIXELS} pixels. Check width and height'
        )
    if encoding.halves_width and frame.width % 2:
        raise FrameError('odd_size', f'{_name(frame)}: this encoding needs an even width')
    if encoding.halves_height and frame.height % 2:
        raise FrameError('odd_size', f'{_name(frame)}: this encoding needs an even height')
    if encoding.mosaic and min(frame.width, frame.height) < 2:
        raise FrameError('odd_size', f'{_name(frame)}: a Bayer pattern needs at least 2x2 pixels')
    row = frame.width * encoding.pixel_bytes
    if frame.step < row:
        raise FrameError(
            'bad_step',
            f'{_name(frame)}: one row needs {row} bytes. The publisher must set step >= {row}',
        )
    # Some publishers leave out the padding of the last row.
    rows = frame.height * 3 // 2 if encoding.halves_height else frame.height
    needed = (rows - 1) * frame.step + row
    if frame.data.size < needed:
        raise FrameError(
            'short_data',
            f'{_name(frame)}: needs {needed} bytes of data, has {frame.data.size}. '
            'The publisher or a bridge cut it off',
        )
    return needed


def _decompress(frame: Frame) -> Image:
    data = np.ascontiguousarray(frame.data).reshape(-1)
    if data.size == 0:
        raise FrameError('empty', 'compressed image without data')
    check_image_file(data, MAX_PIXELS)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise FrameError('corrupt', f'compressed image: OpenCV refuses it: {error}') from error
    if image is None:
        raise FrameError(
            'corrupt', f'compressed image of {data.size} bytes: neither JPEG nor PNG, or damaged'
        )
    return np.asarray(image, np.uint8)


def _unknown(encoding: str) -> str:
    near = difflib.get_close_matches(encoding.lower(), _ENCODINGS, 1, 0.5)
    hint = f' (did you mean {near[0]!r}?)' if near else ''
    return f'unknown image encoding {encoding!r}{hint}. Known: {", ".join(_ENCODINGS)}'
