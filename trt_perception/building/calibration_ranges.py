"""The calibration file: how large each tensor of one network gets, and how that was found.

It is small, readable and made once, on any machine; INT8 engines are then built from it without
images. It belongs to one ONNX file, whose hash it holds, and to one preprocessing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from trt_perception.errors import CalibrationError
from trt_perception.model_input import InputSpec

FORMAT = 'trt_perception calibration'
VERSION = 1

Method = Literal['entropy', 'minmax', 'percentile', 'imported']


class TensorRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one tensor of the network holds.

    Attributes:
        range: int8 shall reach from -range to range; finite, at least 0.
        low, high: the least and the greatest value seen; None for an imported cache.
    """

    range: float
    low: float | None = None
    high: float | None = None


class CalibrationImages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The images that were looked at.

    Attributes:
        source: where they came from, as the user wrote it.
        count: how many.
        hashes: the first 16 hex digits of each one's SHA-256, over its BGR pixels.
    """

    source: str = ''
    count: int = 0
    hashes: tuple[str, ...] = ()


class CalibrationRanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One calibration.

    Attributes:
        onnx: name of the ONNX file, for people.
        onnx_sha256: hash of that file with its external data; see `onnx_graph.graph_digest`.
        method: how `range` was chosen; 'imported' for a cache of TensorRT.
        detail: of the method, such as the percentile, or the first line of an imported cache.
        preprocessing: of the images; None where an imported cache does not say.
        images: what was looked at.
        tensors: by name.
    """

    onnx: str
    onnx_sha256: str
    method: Method
    detail: str = ''
    preprocessing: InputSpec | None = None
    images: CalibrationImages = CalibrationImages()
    tensors: dict[str, TensorRange]

    def in_words(self) -> str:
        """How the ranges were found: 'entropy, 100 images of DIR'."""
        if self.method == 'imported':
            return f'imported from {self.detail}'
        detail = f' {self.detail}' if self.detail else ''
        source = self.images.source or 'an unknown source'
        return f'{self.method}{detail}, {self.images.count} images of {source}'

    def digest(self) -> str:
        """SHA-256, in hex, of all that an engine depends on.

        That is the tensors' ranges, and the lowest and highest values seen, which decide what
        does not fit float16.
        """
        values = {name: (e.range, e.low, e.high) for name, e in self.tensors.items()}
        text = json.dumps([FORMAT, VERSION, values], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def ranges_path(model_yaml: Path) -> Path:
    """Where the calibration of a model lies: beside its YAML file."""
    return model_yaml.with_name(f'{model_yaml.stem}.calibration.json')


def rounded(value: float) -> float:
    """The shortest decimal number that is the same float32, so that files are short."""
    return float(str(np.float32(value)))


def write_ranges(path: Path, ranges: CalibrationRanges) -> None:
    """Write the file, all of it or nothing. The same calibration gives the same bytes.

    Raises:
        CalibrationError: a range is not finite, or the file cannot be written.
    """
    _check_values(ranges, str(path))
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        temporary.write_text(ranges_text(ranges), encoding='utf-8')
        temporary.replace(path)
    except OSError as error:
        raise CalibrationError(
            f'{path}: cannot be written: {error}. Name another file with --out'
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def ranges_text(ranges: CalibrationRanges) -> str:
    """The file's text: one line a tensor, sorted by name."""
    fields = msgspec.to_builtins(ranges)
    tensors = fields.pop('tensors')
    images = fields.pop('images')
    lines = [_line('format', FORMAT), _line('version', VERSION)]
    lines += [_line(key, value) for key, value in fields.items()]
    rows = [_line(name, tensors[name], 4) for name in sorted(tensors)]
    lines.append('  "tensors": {\n' + ',\n'.join(rows) + '\n  }')
    lines.append(_line('images', images))
    return '{\n' + ',\n'.join(lines) + '\n}\n'


def load_ranges(
    path: Path, *, onnx_sha256: str | None = None, preprocessing: InputSpec | None = None
) -> CalibrationRanges:
    """Read a calibration file.

    Args:
        path: the file.
        onnx_sha256: `graph_digest` of the network that it shall serve; None: any.
        preprocessing: the network's; None: any.

    Raises:
        CalibrationError: missing, damaged, of another version, for another ONNX file or another
            preprocessing, or with a range that is not a finite number of at least 0.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        raise CalibrationError(
            f'{path}: no calibration yet. Make one with: trt_perception calibrate MODEL '
            '--images FOLDER'
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f'{path}: cannot be read: {error}') from error
    ranges = parse_ranges(text, str(path))
    _check_fits(ranges, str(path), onnx_sha256, preprocessing)
    return ranges


def parse_ranges(text: str, origin: str) -> CalibrationRanges:
    """Read a calibration file's text.

    Raises:
        CalibrationError: see `load_ranges`.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CalibrationError(
            f'{origin}: not JSON, or cut off: {error}. Calibrate again'
        ) from error
    if not isinstance(document, dict) or document.pop('format', None) != FORMAT:
        raise CalibrationError(f'{origin}: no calibration file: `format` is not {FORMAT!r}')
    version = document.pop('version', None)
    if version != VERSION:
        raise CalibrationError(
            f'{origin}: version {version} of the format; this package reads version {VERSION}. '
            'Calibrate again, or use the package that wrote it'
        )
    try:
        ranges = msgspec.convert(document, CalibrationRanges)
    except msgspec.ValidationError as error:
        raise CalibrationError(f'{origin}: {error}. Calibrate again') from error
    _check_values(ranges, origin)
    return ranges


def _check_values(ranges: CalibrationRanges, origin: str) -> None:
    if not ranges.tensors:
        raise CalibrationError(f'{origin}: holds no tensors. Calibrate again')
    for name, entry in ranges.tensors.items():
        if not (math.isfinite(entry.range) and entry.range >= 0):
            raise CalibrationError(
                f'{origin}: tensor {name!r} has range {entry.range}; a range is a finite number '
                'of at least 0. The network may compute NaN on these images; calibrate again'
            )


def _check_fits(
    ranges: CalibrationRanges,
    origin: str,
    onnx_sha256: str | None,
    preprocessing: InputSpec | None,
) -> None:
    if onnx_sha256 is not None and ranges.onnx_sha256 != onnx_sha256:
        raise CalibrationError(
            f'{origin}: made for another {ranges.onnx} (SHA-256 {ranges.onnx_sha256[:12]}..., '
            f'the file of today is {onnx_sha256[:12]}...). Calibrate again'
        )
    if preprocessing is None or ranges.preprocessing is None:
        return
    if ranges.preprocessing != preprocessing:
        before = _differing(ranges.preprocessing, preprocessing)
        now = _differing(preprocessing, ranges.preprocessing)
        raise CalibrationError(
            f'{origin}: made with another preprocessing: {before}; the model YAML now says '
            f'{now}. Calibrate again'
        )


def _differing(one: InputSpec, other: InputSpec) -> str:
    theirs: Mapping[str, Any] = msgspec.to_builtins(other)
    fields: Mapping[str, Any] = msgspec.to_builtins(one)
    return ', '.join(f'{k} {v}' for k, v in fields.items() if v != theirs[k])


def _line(key: str, value: object, indent: int = 2) -> str:
    return f'{" " * indent}{json.dumps(key)}: {json.dumps(value, allow_nan=False)}'
