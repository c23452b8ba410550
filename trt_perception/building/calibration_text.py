"""TensorRT's own calibration cache: a text with one INT8 scale per tensor.

The first line is `TRT-<version>-<algorithm>`, for example `TRT-100300-EntropyCalibration2`.
Every other line is `<tensor>: <hex>`, where the hex digits are the bits of a float32, most
significant first, and that float is range / 127 (NVIDIA TensorRT developer guide, "INT8
Calibration"). TensorRT prints the bits without leading zeros, so that a tensor that never left
zero reads `name: 0`; other writers pad to eight digits. Both are read, and kept as they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trt_perception.errors import CalibrationError

Algorithm = Literal['EntropyCalibration2', 'MinMaxCalibration']
ALGORITHMS: tuple[Algorithm, ...] = ('EntropyCalibration2', 'MinMaxCalibration')
"""The algorithms of TensorRT whose caches are read and written."""

LEVELS = 127
"""Greatest magnitude of a symmetric int8: range = scale * LEVELS."""

_HEADER = re.compile(r'TRT-([0-9]+)-([A-Za-z0-9]+)')
_HEX = re.compile(r'[0-9a-fA-F]{1,8}')
_LARGEST_FINITE = 0x7F7FFFFF


@dataclass(frozen=True)
class TensorScale:
    """One line of the cache.

    Attributes:
        tensor: the tensor's name; may hold colons and spaces.
        digits: 1 to 8 hex digits, the bits of a float32.
    """

    tensor: str
    digits: str

    @property
    def scale(self) -> float:
        """Value of one step of the int8 tensor, finite and at least 0."""
        (value,) = struct.unpack('!f', int(self.digits, 16).to_bytes(4, 'big'))
        return float(value)


@dataclass(frozen=True)
class CalibrationText:
    """A whole cache.

    Attributes:
        version: TensorRT's version as in the first line, such as '100300'.
        algorithm: one of `ALGORITHMS`.
        scales: in the order of the lines.
        line_end: what ends each line.
        last_line_ends: whether the last line ends so too.
    """

    version: str
    algorithm: Algorithm
    scales: tuple[TensorScale, ...]
    line_end: Literal['\n', '\r\n'] = '\n'
    last_line_ends: bool = True

    def ranges(self) -> dict[str, float]:
        """Greatest magnitude that each tensor can hold: float32 scale * 127."""
        return {entry.tensor: entry.scale * LEVELS for entry in self.scales}


def parse_calibration_text(data: bytes, origin: str) -> CalibrationText:
    """Read a cache. `write_calibration_text` of the result gives the same bytes again.

    Args:
        data: the file's content.
        origin: the file's name, for messages.

    Raises:
        CalibrationError: not such a cache, another algorithm, a line that is none, a tensor
            that stands there twice, or a scale that is NaN, infinite or negative.
    """
    try:
        text = data.decode('utf-8')
    except UnicodeDecodeError as error:
        damaged = data[: error.start].count(b'\n') + 1
        raise CalibrationError(
            f'{origin}, line {damaged}: not UTF-8 text. This is no calibration cache of TensorRT'
        ) from None
    line_end: Literal['\n', '\r\n'] = '\r\n' if text.split('\n', 1)[0].endswith('\r') else '\n'
    lines = text.split(line_end)
    last_line_ends = len(lines) > 1 and not lines[-1]
    if last_line_ends:
        lines.pop()
    version, algorithm = _parse_header(lines[0], origin)
    first_seen: dict[str, int] = {}
    scales = []
    for number, line in enumerate(lines[1:], 2):
        entry = _parse_line(line, f'{origin}, line {number}')
        if entry.tensor in first_seen:
            raise CalibrationError(
                f'{origin}, line {number}: tensor {entry.tensor!r} stands in line '
                f'{first_seen[entry.tensor]} already. Remove one of the two'
            )
        first_seen[entry.tensor] = number
        scales.append(entry)
    return CalibrationText(version, algorithm, tuple(scales), line_end, last_line_ends)


def write_calibration_text(text: CalibrationText) -> bytes:
    """The bytes of a cache file."""
    lines = [f'TRT-{text.version}-{text.algorithm}']
    lines += [f'{entry.tensor}: {entry.digits}' for entry in text.scales]
    content = text.line_end.join(lines) + (text.line_end if text.last_line_ends else '')
    return content.encode('utf-8')


def calibration_text_of(
    ranges: Mapping[str, float], version: str, algorithm: Algorithm = 'EntropyCalibration2'
) -> CalibrationText:
    """A cache for TensorRT's calibrator.

    Args:
        ranges: greatest magnitude of each tensor, finite and at least 0.
        version: the TensorRT that shall read it, such as '100300' for 10.3.0.
        algorithm: TensorRT takes the cache only for the calibrator of this name.

    Raises:
        CalibrationError: a range or its scale is not a finite float32, or negative; the version
            is not a number; or a name has a line break in it.
    """
    if not version.isdecimal():
        raise CalibrationError(
            f'TensorRT version {version!r}: expected digits alone, such as 100300 for 10.3.0'
        )
    scales = []
    for tensor, value in ranges.items():
        if not tensor or '\n' in tensor or '\r' in tensor:
            raise CalibrationError(f'tensor {tensor!r}: this name cannot stand in a line of text')
        with np.errstate(over='ignore'):
            scale = np.float32(value) / np.float32(LEVELS)
        if not (np.isfinite(scale) and value >= 0):
            raise CalibrationError(
                f'tensor {tensor!r}: range {value} is not a finite number of at least 0. '
                'Calibrate again'
            )
        # Adding zero turns -0.0 into 0.0, whose sign bit is clear.
        bits = int.from_bytes(struct.pack('!f', scale + np.float32(0)), 'big')
        scales.append(TensorScale(tensor, f'{bits:x}'))
    return CalibrationText(version, algorithm, tuple(scales))


def is_calibration_text(data: bytes) -> bool:
    """Whether a file's content begins like a calibration cache of TensorRT."""
    return re.match(rb'TRT-[0-9]+-[A-Za-z0-9]+\r?(\n|$)', data) is not None


def _parse_header(line: str, origin: str) -> tuple[str, Algorithm]:
    match = _HEADER.fullmatch(line)
    if match is None:
        raise CalibrationError(
            f'{origin}, line 1: {line[:80]!r} is not TRT-<version>-<algorithm>, for example '
            'TRT-100300-EntropyCalibration2. This is no calibration cache of TensorRT'
        )
    for algorithm in ALGORITHMS:
        if match[2] == algorithm:
            return match[1], algorithm
    raise CalibrationError(
        f'{origin}, line 1: algorithm {match[2]} is not supported; supported are '
        f'{" and ".join(ALGORITHMS)}. Calibrate again with one of these'
    )


def _parse_line(line: str, where: str) -> TensorScale:
    # Names may hold colons, so the last one counts.
    tensor, separator, digits = line.rpartition(': ')
    if '\r' in line or '\n' in line:
        raise CalibrationError(f'{where}: line ends are mixed. Convert the file to one kind')
    if not separator or not tensor or not _HEX.fullmatch(digits):
        raise CalibrationError(
            f'{where}: {line[:80]!r} is not <tensor>: <1 to 8 hex digits>. '
            'The file is damaged or cut off; calibrate again'
        )
    bits = int(digits, 16)
    if bits > _LARGEST_FINITE:
        value = TensorScale(tensor, digits).scale
        raise CalibrationError(
            f'{where}: tensor {tensor!r} has scale {value} ({digits}); a scale is a finite '
            'number of at least 0. Calibrate again'
        )
    return TensorScale(tensor, digits)
