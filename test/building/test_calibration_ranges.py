"""The calibration file."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.building.calibration_ranges import (
    CalibrationImages,
    CalibrationRanges,
    TensorRange,
    load_ranges,
    parse_ranges,
    ranges_path,
    ranges_text,
    rounded,
    write_ranges,
)
from trt_perception.errors import CalibrationError
from trt_perception.model_input import InputSpec

ONNX = 'ab' * 32
INPUT = InputSpec(size=(64, 48))
FLOATS = st.floats(0, 2.0**100, width=32).map(rounded)


def ranges_of(tensors, **fields) -> CalibrationRanges:
    fields = {'preprocessing': INPUT, **fields}
    return CalibrationRanges(
        onnx='net.onnx', onnx_sha256=ONNX, method='entropy', tensors=tensors, **fields
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'net.calibration.json'
    images = CalibrationImages('synthetic:calibration', 2, ('0123', '4567'))
    tensors = {'b': TensorRange(2.5, -1.0, 3.0), 'a:0': TensorRange(0.1)}
    write_ranges(path, ranges_of(tensors, images=images))
    return path


def test_no_tensors_are_refused(tmp_path: Path):
    with pytest.raises(CalibrationError, match='holds no tensors'):
        write_ranges(tmp_path / 'x.json', ranges_of({}))
    assert list(tmp_path.iterdir()) == []


def test_how_they_were_found_in_words():
    images = CalibrationImages('DIR', 2)
    assert ranges_of({}).in_words() == 'entropy, 0 images of an unknown source'
    assert ranges_of({}, images=images, detail='99.9').in_words() == 'entropy 99.9, 2 images of DIR'
    imported = msgspec.structs.replace(
        ranges_of({}), method='imported', detail='TRT-100300-EntropyCalibration2'
    )
    assert imported.in_words() == 'imported from TRT-100300-EntropyCalibration2'


@given(st.dictionaries(st.text(), st.builds(TensorRange, FLOATS, FLOATS, FLOATS), min_size=1))
def test_a_calibration_survives(tensors):
    ranges = ranges_of(tensors)
    text = ranges_text(ranges)
    assert parse_ranges(text, 'file') == ranges
    backwards = ranges_of(dict(reversed(tensors.items())))
    assert ranges_text(backwards) == text
    assert backwards.digest() == ranges.digest()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_rounded_numbers_are_the_same_float32(value: float):
    assert np.float32(rounded(value)) == np.float32(value)


def test_the_file_is_sorted_and_readable(file: Path):
    lines = file.read_text().splitlines()
    assert lines[1] == '  "format": "trt_perception calibration",'
    assert '    "a:0": {"range": 0.1, "low": null, "high": null},' in lines
    names = [line.split('"')[1] for line in lines if '"range"' in line]
    assert names == ['a:0', 'b']
    assert load_ranges(file, onnx_sha256=ONNX, preprocessing=INPUT).images.count == 2
    assert sorted(p.name for p in file.parent.iterdir()) == [file.name]


def test_the_digest_follows_all_that_a_graph_is_prepared_from():
    one = ranges_of({'a': TensorRange(1.0, -1.0, 1.0)})
    assert one.digest() == ranges_of({'a': TensorRange(1.0, -1.0, 1.0)}, detail='words').digest()
    assert one.digest() != ranges_of({'a': TensorRange(1.0)}).digest()
    assert one.digest() != ranges_of({'a': TensorRange(1.0, -1.0, 40000.0)}).digest()
    assert one.digest() != ranges_of({'a': TensorRange(1.5, -1.0, 1.0)}).digest()
    assert one.digest() != ranges_of({'b': TensorRange(1.0, -1.0, 1.0)}).digest()


def test_the_file_lies_beside_the_model():
    assert ranges_path(Path('m/street.yaml')) == Path('m/street.calibration.json')


def test_another_network_or_preprocessing_is_refused(file: Path):
    with pytest.raises(CalibrationError, match=r'another net\.onnx .*abababababab.*cdcdcdcdcdcd'):
        load_ranges(file, onnx_sha256='cd' * 32)
    with pytest.raises(CalibrationError, match=r'size \(64, 48\);.*size \(64, 64\)'):
        load_ranges(file, preprocessing=InputSpec(size=(64, 64)))


def test_an_imported_cache_fits_every_preprocessing(tmp_path: Path):
    path = tmp_path / 'x.json'
    write_ranges(path, ranges_of({'a': TensorRange(1.0)}, preprocessing=None))
    assert load_ranges(path, preprocessing=INPUT).preprocessing is None


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('format', 'other', 'no calibration file'),
        ('version', 2, 'version 2 of the format'),
        ('method', 'guess', 'guess'),
        ('tensors', {}, 'no tensors'),
        ('tensors', {'a': {'range': float('nan')}}, "'a' has range nan"),
        ('tensors', {'a': {'range': float('inf')}}, "'a' has range inf"),
        ('tensors', {'a': {'range': -1.0}}, "'a' has range -1"),
        ('tensors', {'a': {'range': 'x'}}, 'Expected `float`'),
        ('surplus', 1, 'surplus'),
    ],
)
def test_damaged_files_are_refused(file: Path, key: str, value: object, words: str):
    document = json.loads(file.read_text())
    document[key] = value
    file.write_text(json.dumps(document))
    with pytest.raises(CalibrationError, match=words):
        load_ranges(file)


@pytest.mark.parametrize('text', ['', '[]', '{"format"', '\x00'])
def test_files_of_another_kind_are_refused(file: Path, text: str):
    file.write_text(text)
    with pytest.raises(CalibrationError, match=r'net\.calibration\.json: no'):
        load_ranges(file)


def test_missing_and_unwritable_files_are_named(tmp_path: Path):
    with pytest.raises(CalibrationError, match='no calibration yet'):
        load_ranges(tmp_path / 'none.json')
    with pytest.raises(CalibrationError, match='cannot be written'):
        write_ranges(tmp_path / 'none' / 'x.json', ranges_of({'a': TensorRange(1.0)}))
    with pytest.raises(CalibrationError, match='cannot be read'):
        load_ranges(tmp_path)
