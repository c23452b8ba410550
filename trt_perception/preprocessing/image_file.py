"""Checks a JPEG or PNG file before it is decoded.

OpenCV decodes a JPEG that ends too early and leaves the rest of the picture grey, without an
error; and it reserves memory for whatever size the header claims. Both are found here, from
the files' outer structure (ITU-T T.81 annex B; PNG specification, section 5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import FrameError

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8'
_END_OF_IMAGE = b'\xff\xd9'
_START_OF_SCAN = 0xDA
# Start-of-frame markers carry the size; 0xC4, 0xC8 and 0xCC in their midst are others.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_image_file(data: NDArray[np.uint8], max_pixels: int) -> None:
    """Refuse a JPEG or PNG file that is cut off or claims too many pixels.

    Other formats pass unchecked.

    Args:
        data: uint8 [bytes], contiguous.
        max_pixels: greatest number of pixels.

    Raises:
        FrameError: 'corrupt' or 'too_large'.
    """
    start = data[:8].tobytes()
    if start.startswith(_JPEG):
        width, height = _jpeg_size(data)
    elif start == _PNG:
        width, height = _png_size(data)
    else:
        return
    if width * height > max_pixels:
        raise FrameError(
            'too_large',
            f'compressed image of {width}x{height} pixels: more than {max_pixels} pixels',
        )


def _jpeg_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) from the frame header; also looks for the end of the image."""
    content = data.tobytes()
    size = (0, 0)
    position = 2
    while position + 9 <= len(content):
        if content[position] != 0xFF:
            break
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == _START_OF_SCAN:
            # Within a scan 0xFF is followed by 0 or a restart marker, never by the end marker.
            if content.find(_END_OF_IMAGE, position) >= 0:
                return size
            raise FrameError(
                'corrupt', f'JPEG of {len(content)} bytes: cut off before the end of the image'
            )
        if marker in _START_OF_FRAME:
            height = int.from_bytes(content[position + 5 : position + 7], 'big')
            size = int.from_bytes(content[position + 7 : position + 9], 'big'), height
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
    raise FrameError('corrupt', f'JPEG of {len(content)} bytes: its header is damaged or cut off')


def _png_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) from the IHDR chunk; also looks for the IEND chunk."""
    header = data[:24].tobytes()
    if len(header) < 24 or data[-64:].tobytes().find(b'IEND') < 0:
        raise FrameError('corrupt', f'PNG of {data.size} bytes: cut off before its end')
    return int.from_bytes(header[16:20], 'big'), int.from_bytes(header[20:24], 'big')
