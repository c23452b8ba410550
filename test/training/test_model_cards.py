"""docs/models.md: every key is explained, every figure is the one that was measured."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import msgspec
import pytest

from networks import write_detector
from trt_perception.model_spec import (
    ClassSpec,
    GateLimits,
    InputSpec,
    ModelSpec,
    QuantisationSpec,
    ThresholdSpec,
    load_model_spec,
)
from trt_perception.onnx_file import read_onnx

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docs' / 'models.md').read_text()
MODELS = ('street_detect', 'street_instance', 'street_semantic')


def cells(line):
    return [cell.strip(' *') for cell in line.strip('|').split('|')]


def row(first, columns):
    """The cells of the table row that starts with `first` and has so many columns."""
    rows = [cells(line) for line in TEXT.splitlines() if line.startswith('|')]
    (found,) = [r for r in rows if r[0] == first and len(r) == columns]
    return found


def results(model):
    return json.loads((ROOT / 'benchmarks' / 'results' / f'{model}.json').read_text())


def keys(struct, prefix=''):
    for field in msgspec.structs.fields(struct):
        inner = {
            'input': InputSpec,
            'thresholds': ThresholdSpec,
            'quantisation': QuantisationSpec,
            'gate': GateLimits,
        }.get(field.name)
        if field.name == 'output_operators':
            continue  # read off the ONNX file, never written
        if inner:
            yield from keys(inner, f'{prefix}{field.name}.')
        else:
            yield prefix + field.name


@pytest.mark.parametrize('key', list(keys(ModelSpec)))
def test_every_key_has_a_row(key):
    assert row(f'`{key}`', 3)


def test_defaults_are_those_of_the_code():
    thresholds, gate = ThresholdSpec(), GateLimits()
    for key, value in (
        ('thresholds.score', thresholds.score),
        ('thresholds.iou', thresholds.iou),
        ('thresholds.max_detections', thresholds.max_detections),
        ('quantisation.gate.agreement', gate.agreement),
        ('quantisation.gate.overlap', gate.overlap),
        ('input.pad_value', InputSpec(size=(1, 1)).pad_value),
    ):
        assert row(f'`{key}`', 3)[2] == str(value)
    assert row('`input.resize`', 3)[2].endswith(f'`{InputSpec(size=(1, 1)).resize}`')
    assert row('`input.pad`', 3)[2].endswith(f'`{InputSpec(size=(1, 1)).pad}`')
    assert gate.relative_error is None


def test_the_example_loads(tmp_path):
    example = re.search(r'```yaml\n(.*?)```', TEXT, re.DOTALL)[1]
    names = ('forklift', 'pallet', 'person')
    write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9, 0, 0]], names, size=(640, 640))
    (tmp_path / 'detector.onnx').rename(tmp_path / 'forklift.onnx')
    (tmp_path / 'forklift.yaml').write_text(example)
    spec = load_model_spec(tmp_path / 'forklift.yaml')
    assert spec.name == 'forklift'
    assert spec.class_names == names
    assert spec.classes[:2] == (
        ClassSpec(name=names[0], color=(255, 140, 0)),
        ClassSpec(name=names[1]),
    )
    assert spec.thresholds == ThresholdSpec(score=0.4)


@pytest.mark.parametrize('model', MODELS)
def test_what_was_measured_is_what_is_shipped(model):
    """After another training: measure again by the command that docs/models.md gives."""
    measured, file = results(model), ROOT / 'config' / 'models' / f'{model}.onnx'
    assert measured['file_sha256'] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert measured['split'] == 'TEST'
    assert measured['scenes'] == 500
    assert file.stat().st_size <= 4_000_000


@pytest.mark.parametrize('place', range(3))
def test_the_facts_of_the_files(place):
    file = ROOT / 'config' / 'models' / f'{MODELS[place]}.onnx'
    assert row('file', 4)[1 + place] == f'{file.stat().st_size / 1e6:.2f} MB'
    steps = int(read_onnx(file).metadata['steps'])
    assert row('training steps', 4)[1 + place] == f'{steps:,}'
    latency = results(MODELS[place]).get('network_ms')
    written = f'{latency["p50"]:.0f} ms' if latency else 'not yet measured'
    assert row('network alone, 2 threads, median', 4)[1 + place] == written


def test_the_figures_of_boxes_and_masks():
    detect, instance = results('street_detect'), results('street_instance')
    columns = (detect['bbox'], instance['bbox'], instance['segm'])
    for name in detect['bbox']['by_class']:
        assert row(name, 5)[2:] == [f'{column["by_class"][name]:.3f}' for column in columns]
    for name, key in (('mAP50-95', 'map50_95'), ('mAP50', 'map50')):
        assert row(name, 5)[2:] == [f'{column[key]:.3f}' for column in columns]


def test_the_figures_of_pixels():
    semantic = results('street_semantic')
    for name, value in semantic['by_class'].items():
        assert row(name, 3)[2] == f'{value:.3f}'
    assert row('mean', 3)[2] == f'{semantic["miou"]:.3f}'
    assert f'{semantic["pixel_accuracy"]:.3f} of all pixels' in TEXT


def test_the_models_are_as_good_as_promised():
    assert results('street_detect')['bbox']['map50'] >= 0.90
    assert results('street_detect')['bbox']['map50_95'] >= 0.65
    assert results('street_instance')['segm']['map50_95'] >= 0.55
    assert results('street_semantic')['miou'] >= 0.85
