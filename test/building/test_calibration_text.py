"""TensorRT's calibration cache, there and back."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.building.calibration_text import (
    ALGORITHMS,
    CalibrationText,
    TensorScale,
    calibration_text_of,
    is_calibration_text,
    parse_calibration_text,
    write_calibration_text,
)
from trt_perception.errors import CalibrationError

TENSORS = st.text(st.characters(blacklist_characters='\r\n', codec='utf-8'), min_size=1)
POSITIVE_BITS = st.integers(0, 0x7F7FFFFF)
DIGITS = st.tuples(POSITIVE_BITS, st.sampled_from(['x', '08x', '08X'])).map(
    lambda pair: format(*pair)
)


@st.composite
def caches(draw: st.DrawFn) -> CalibrationText:
    names = draw(st.lists(TENSORS, unique=True, max_size=8))
    return CalibrationText(
        version=draw(st.integers(1, 999999).map(str)),
        algorithm=draw(st.sampled_from(ALGORITHMS)),
        scales=tuple(TensorScale(name, draw(DIGITS)) for name in names),
        line_end=draw(st.sampled_from(['\n', '\r\n'])),
        last_line_ends=True if not names else draw(st.booleans()),
    )


def parse(text: str | bytes) -> CalibrationText:
    return parse_calibration_text(text if isinstance(text, bytes) else text.encode(), 'old.cache')


def test_a_cache_without_tensors():
    cache = parse('TRT-100300-EntropyCalibration2\n')
    assert cache.scales == ()
    assert write_calibration_text(cache) == b'TRT-100300-EntropyCalibration2\n'
    assert parse('TRT-8501-MinMaxCalibration').ranges() == {}


@given(caches())
def test_bytes_survive(cache: CalibrationText):
    data = write_calibration_text(cache)
    again = parse_calibration_text(data, 'cache')
    assert again == cache
    assert write_calibration_text(again) == data
    assert is_calibration_text(data)


@given(st.dictionaries(TENSORS, st.floats(0, 2.0**127, width=32), max_size=8))
def test_ranges_survive(ranges: dict[str, float]):
    text = calibration_text_of(ranges, '100300')
    again = parse_calibration_text(write_calibration_text(text), 'cache').ranges()
    assert list(again) == list(ranges)
    for name, value in ranges.items():
        assert again[name] == pytest.approx(value, rel=2e-7, abs=1e-43)


def test_a_cache_as_tensorrt_writes_it():
    cache = parse(
        'TRT-100300-EntropyCalibration2\ninput_1:0: 3c010a14\n'
        '(Unnamed Layer* 64) [Shuffle]_output: 0\na: b: 3d0b7086\n'
    )
    assert (cache.version, cache.algorithm) == ('100300', 'EntropyCalibration2')
    ranges = cache.ranges()
    assert list(ranges) == ['input_1:0', '(Unnamed Layer* 64) [Shuffle]_output', 'a: b']
    assert ranges['input_1:0'] == pytest.approx(1.0002, abs=1e-4)
    assert ranges['(Unnamed Layer* 64) [Shuffle]_output'] == 0


def test_written_scales_are_big_endian_float32_of_a_127th():
    (entry,) = calibration_text_of({'images': 1.0}, '100300').scales
    assert bytes.fromhex(entry.digits) == struct.pack('!f', np.float32(1) / np.float32(127))


@pytest.mark.parametrize(
    ('lines', 'words'),
    [
        ('a: 7fc00000', 'line 2.*nan'),
        ('a: 3c010a14\nb: 7f800000', 'line 3.*inf'),
        ('a: bc010a14', 'line 2.*-0.0'),
        ('a: 80000000', 'line 2'),
        ('a: 3c010a14\na: 3c010a15', "line 3: tensor 'a' stands in line 2"),
        ('a: 3c010a144', 'line 2.*hex'),
        ('a: 3c01zz14', 'line 2.*hex'),
        ('a: ', 'line 2.*damaged'),
        ('a:3c010a14', 'line 2.*damaged'),
        (': 3c010a14', 'line 2.*damaged'),
        ('a: 3c010a14\n\nb: 3c010a14', 'line 3.*damaged'),
        ('a: 3c010a14\r\nb: 3c010a14', 'line 2.*mixed'),
    ],
)
def test_bad_lines_are_named(lines: str, words: str):
    with pytest.raises(CalibrationError, match=f'old.cache, {words}'):
        parse(f'TRT-100300-EntropyCalibration2\n{lines}\n')


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (b'', 'line 1'),
        (b'\xff\xfe', 'line 1: not UTF-8'),
        (b'TRT-100300-EntropyCalibration2\na\xff: 0\n', 'line 2: not UTF-8'),
        (b'{"format": 1}', 'TRT-<version>-<algorithm>'),
        (b'TRT-7000-LegacyCalibration\na: 0\n', 'algorithm LegacyCalibration is not supported'),
    ],
)
def test_other_files_are_refused(data: bytes, words: str):
    with pytest.raises(CalibrationError, match=words):
        parse(data)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -1.0, 1e39])
def test_ranges_that_are_none(value: float):
    with pytest.raises(CalibrationError, match="tensor 'a'"):
        calibration_text_of({'a': value}, '100300')


def test_names_and_versions_that_cannot_be_written():
    with pytest.raises(CalibrationError, match='line of text'):
        calibration_text_of({'a\nb': 1.0}, '100300')
    with pytest.raises(CalibrationError, match='digits'):
        calibration_text_of({}, '10.3')


def test_other_texts_are_not_taken_for_a_cache():
    assert not is_calibration_text(b'')
    assert not is_calibration_text(b'TRT-100300\n')
    assert is_calibration_text(b'TRT-100300-EntropyCalibration2')
