"""From BGR to the image encodings of ROS, so that a source can stand in for any camera."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ParameterError
from trt_perception.frames import Frame

Image = NDArray[np.uint8]

# BT.601 with limited range, as OpenCV and cv_bridge read YUV; rows Y, U, V of B, G, R.
# https://www.itu.int/rec/R-REC-BT.601
_BGR_TO_YUV = np.array(
    [
        [0.098, 0.504, 0.257, 16.0],
        [0.439, -0.291, -0.148, 128.0],
        [-0.071, -0.368, 0.439, 128.0],
    ],
    np.float32,
)


def encode(image: Image, encoding: str, *, stamp_ns: int = 0, frame_id: str = '') -> Frame:
    """A frame as a camera of that encoding would deliver it, rows without padding.

    Chroma that is shared between pixels is averaged; a Bayer mosaic keeps of each pixel the one
    colour that its place in the pattern sees; 16-bit values are the 8-bit ones times 257.

    Args:
        image: uint8 [H, W, 3] BGR.
        encoding: one of `ENCODINGS`.
        stamp_ns: of the frame.
        frame_id: of the frame.

    Raises:
        ParameterError: an unknown encoding, or an odd width or height where it needs even ones.
    """
    height, width = image.shape[:2]
    check_encoding(encoding, (width, height))
    if encoding == 'bgr8':
        return Frame.from_bgr(image, stamp_ns=stamp_ns, frame_id=frame_id)
    rows = _ENCODERS[encoding](image)
    step = rows.strides[0]
    flat = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
    return Frame(flat, height, width, step, encoding, False, stamp_ns, frame_id)


def check_encoding(encoding: str, size: tuple[int, int] | None) -> None:
    """Refuse an encoding that `encode` does not know or that does not fit the size.

    Args:
        encoding: any text.
        size: (width, height), None where it is not known yet.

    Raises:
        ParameterError: see `encode`.
    """
    if encoding not in _ENCODERS:
        raise ParameterError(
            f'encoding {encoding!r} cannot be produced. Choose one of: {", ".join(_ENCODERS)}'
        )
    if size is None:
        return
    width, height = size
    if encoding in _EVEN_WIDTH and width % 2:
        raise ParameterError(f'encoding {encoding} needs an even width, not {width}')
    if encoding in _EVEN_HEIGHT and height % 2:
        raise ParameterError(f'encoding {encoding} needs an even height, not {height}')


def _recolored(code: int) -> Callable[[Image], Image]:
    return lambda image: np.asarray(cv2.cvtColor(image, code), np.uint8)


def _gray16(image: Image) -> NDArray[np.uint16]:
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint16) * np.uint16(257)
    return gray.astype('<u2', copy=False)


def _yuv(image: Image) -> Image:
    """uint8 [H, W, 3]."""
    return np.asarray(cv2.transform(image, _BGR_TO_YUV), np.uint8)


def _packed(luma_at: int) -> Callable[[Image], Image]:
    """4:2:2 with Y at bytes `luma_at` and `luma_at` + 2 of four, U before V at the others."""

    def pack(image: Image) -> Image:
        yuv = _yuv(image)
        height, width = yuv.shape[:2]
        chroma = cv2.resize(yuv[:, :, 1:], (width // 2, height), interpolation=cv2.INTER_AREA)
        packed = np.empty((height, width, 2), np.uint8)
        packed[:, :, luma_at] = yuv[:, :, 0]
        packed[:, :, 1 - luma_at] = np.asarray(chroma, np.uint8).reshape(height, width)
        return packed.reshape(height, width * 2)

    return pack


def _two_planes(u_first: bool) -> Callable[[Image], Image]:
    """4:2:0: luma, then half as many rows of both chroma channels in turn."""

    def pack(image: Image) -> Image:
        yuv = _yuv(image)
        height, width = yuv.shape[:2]
        half = (width // 2, height // 2)
        chroma = np.asarray(cv2.resize(yuv[:, :, 1:], half, interpolation=cv2.INTER_AREA), np.uint8)
        ordered = chroma if u_first else chroma[:, :, ::-1]
        return np.vstack([yuv[:, :, 0], ordered.reshape(height // 2, width)])

    return pack


def _mosaic(pattern: str) -> Callable[[Image], Image]:
    """Bayer, `pattern` being the colours of the upper left 2x2 pixels, row by row."""

    def pack(image: Image) -> Image:
        mosaic = np.empty(image.shape[:2], np.uint8)
        for place, color in enumerate(pattern):
            row, column = divmod(place, 2)
            mosaic[row::2, column::2] = image[row::2, column::2, 'bgr'.index(color)]
        return mosaic

    return pack


_ENCODERS: dict[str, Callable[[Image], NDArray[np.uint8] | NDArray[np.uint16]]] = {
    'bgr8': lambda image: image,
    'rgb8': _recolored(cv2.COLOR_BGR2RGB),
    'bgra8': _recolored(cv2.COLOR_BGR2BGRA),
    'rgba8': _recolored(cv2.COLOR_BGR2RGBA),
    'mono8': _recolored(cv2.COLOR_BGR2GRAY),
    'mono16': _gray16,
    'yuv422': _packed(1),
    'uyvy': _packed(1),
    'yuv422_yuy2': _packed(0),
    'yuyv': _packed(0),
    'nv12': _two_planes(True),
    'nv21': _two_planes(False),
    'bayer_rggb8': _mosaic('rggb'),
    'bayer_bggr8': _mosaic('bggr'),
    'bayer_gbrg8': _mosaic('gbrg'),
    'bayer_grbg8': _mosaic('grbg'),
}
_EVEN_HEIGHT = frozenset(['nv12', 'nv21'])
_EVEN_WIDTH = _EVEN_HEIGHT | {'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv'}

ENCODINGS: tuple[str, ...] = tuple(_ENCODERS)
"""Every encoding that `encode` produces."""
