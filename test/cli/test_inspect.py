"""Descriptions of files."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from building.calibrated import minmax_ranges, noise
from building_cases import ORIN
from family_networks import write_family
from networks import write_constant_network
from trt_perception.building.calibration_exchange import export_cache
from trt_perception.building.calibration_ranges import write_ranges
from trt_perception.building.calibration_text import write_calibration_text
from trt_perception.building.engine_cache import BuiltEngine, EngineCache
from trt_perception.building.precision import prepare_graph
from trt_perception.cli import inspect
from trt_perception.errors import PerceptionError


@pytest.fixture
def described(capsys):
    def describe(file):
        assert inspect.run(argparse.Namespace(file=file, json=True)) == 0
        content = json.loads(capsys.readouterr().out)
        assert inspect.run(argparse.Namespace(file=file, json=False)) == 0
        return content, capsys.readouterr().out

    return describe


@pytest.mark.parametrize('content', [b'', b'{}', b'nothing known', bytes(5000)])
def test_files_of_no_known_kind_are_refused(tmp_path, content):
    (tmp_path / 'file').write_bytes(content)
    with pytest.raises(PerceptionError, match='file: '):
        inspect.run(argparse.Namespace(file=tmp_path / 'file', json=False))
    with pytest.raises(PerceptionError, match='cannot be read'):
        inspect.run(argparse.Namespace(file=tmp_path / 'none', json=False))


def test_a_network_and_its_int8_version(tmp_path, described):
    path = write_family(tmp_path / 'net.onnx', 'ddrnet', batch='batch')
    content, text = described(path)
    assert content['inputs'] == ['images float32 ?x3x96x128']
    assert content['int8 share'] == 0
    assert 'weighted layers (25)' in text
    graph = prepare_graph(path, 'int8', minmax_ranges(path, noise(1)))
    (tmp_path / 'int8.onnx').write_bytes(graph.model)
    content, _ = described(tmp_path / 'int8.onnx')
    assert content['int8 share'] == pytest.approx(graph.int8_share, abs=1e-4)
    floating = {row['node'] for row in content['weighted layers'] if not row['int8']}
    assert floating == set(graph.float_nodes)


def test_an_engine(tmp_path, described):
    cache = EngineCache(tmp_path / 'engines')
    facts = {
        'int8_share': 0.91,
        'float_nodes': {'/head': 'asked for'},
        'messages': [' slow', 'odd', ' slow'],
        'gate': {'agreement': 0.98},
    }
    engine = cache.obtain(ORIN, lambda: BuiltEngine(b'plan', facts), label='street')
    content, text = described(engine.path)
    assert content['kind'] == 'engine'
    assert (content['model'], content['key'], content['plan bytes']) == ('street', ORIN.key, 4)
    assert content['identity']['tensorrt.version'] == '10.3.0.30'
    assert content['identity']['profiles'] == ['images 1x3x64x64:4x3x64x64:8x3x64x64']
    assert content['gate'] == {'agreement': 0.98}
    assert content['nodes that stay float'] == [{'node': '/head', 'reason': 'asked for'}]
    assert content['messages of TensorRT'][0] == {'message': 'slow', 'times': 2}
    for words in ('tensorrt.version = 10.3.0.30', 'gpu.name = Orin', '/head', 'int8_share = 0.91'):
        assert words in text


def test_an_engine_that_is_damaged(tmp_path):
    cache = EngineCache(tmp_path / 'engines')
    path = cache.obtain(ORIN, lambda: BuiltEngine(b'plan'), label='street').path
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(PerceptionError, match=r'\.engine: damaged'):
        inspect.run(argparse.Namespace(file=path, json=False))


def test_both_kinds_of_calibration(tmp_path, described):
    path = write_family(tmp_path / 'net.onnx', 'unet')
    ranges = minmax_ranges(path, noise(1))
    write_ranges(tmp_path / 'net.json', ranges)
    content, text = described(tmp_path / 'net.json')
    assert content['kind'] == 'calibration file'
    assert content['onnx sha256'] == ranges.onnx_sha256
    assert f'tensors ({len(ranges.tensors)})' in text
    cache = export_cache(ranges, '100300')
    (tmp_path / 'cache').write_bytes(write_calibration_text(cache))
    content, _ = described(tmp_path / 'cache')
    assert content['algorithm'] == 'MinMaxCalibration'
    found = {row['tensor']: row['range'] for row in content['tensors']}
    assert found == {n: pytest.approx(e.range, rel=1e-6) for n, e in ranges.tensors.items()}
    assert np.isfinite(list(found.values())).all()


def test_a_file_that_says_enough_is_a_complete_model(command, tmp_path):
    outputs = {'output0': np.zeros((6, 62), np.float32)}
    write_constant_network(tmp_path / 'net.onnx', outputs, metadata={'names': "['car', 'dog']"})
    found = json.loads(command('inspect', 'net.onnx', '--json').stdout)
    assert (found['family'], found['task'], found['classes']) == ('yolov8', 'detect', '2: car, dog')
    assert found['input'] == 'NCHW 64x48 float32'
    assert '62 cells a box and 2 class scores' in found['because']
    assert found['model'] == 'complete: model:=net.onnx'


def test_a_file_that_leaves_doubt_lists_what_it_may_be(command, tmp_path):
    outputs = {'output0': np.zeros((300, 6), np.float32)}
    write_constant_network(tmp_path / 'net.onnx', outputs, metadata={'names': "['car', 'dog']"})
    found = json.loads(command('inspect', 'net.onnx', '--json').stdout)
    assert found['model'].startswith('asks: ')
    assert {'yolov10', 'rtdetr'} <= {row['family'] for row in found['candidates']}
    assert 'family' not in found
    text = command('inspect', 'net.onnx').stdout
    assert 'candidates (' in text
