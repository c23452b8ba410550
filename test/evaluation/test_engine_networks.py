"""Engines in an evaluation: TensorRT-RTX builds them, onnxruntime runs what they are built from."""

from __future__ import annotations

import numpy as np
import pytest

from building_cases import write_model
from family_networks import FAMILIES
from trt_perception.building.calibrate import CalibrationOptions, calibrate
from trt_perception.building.calibration_ranges import load_ranges, write_ranges
from trt_perception.building.cpu_execution import for_onnxruntime
from trt_perception.building.cpu_execution import open_network as open_bytes
from trt_perception.building.engine_cache import EngineCache
from trt_perception.building.engine_opening import EngineDevice
from trt_perception.building.precision import prepare_graph
from trt_perception.errors import BackendUnavailableError, CalibrationError
from trt_perception.evaluation.class_mapping import match_classes
from trt_perception.evaluation.dataset import Dataset, Sample
from trt_perception.evaluation.engine_networks import EngineSource
from trt_perception.evaluation.measuring import evaluate
from trt_perception.evaluation.networks import open_network
from trt_perception.evaluation.report import document_of, markdown_of
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.runtime.obstacles import obstacles
from trt_perception.runtime.tensorrt_flavour import find_flavour

NAMES = ('a', 'b', 'c', 'd', 'e', 'f')


@pytest.fixture(scope='module')
def yaml(tmp_path_factory):
    text = f'family: semantic\nclasses: [{", ".join(NAMES)}]\n'
    return write_model(tmp_path_factory.mktemp('m') / 'model', FAMILIES['ddrnet'](), text)


@pytest.fixture(scope='module')
def calibration(yaml, tmp_path_factory):
    spec = load_model_spec(yaml)
    done = calibrate(spec, pictures(), CalibrationOptions('minmax', 4, 99.99, 1), source='noise')
    path = tmp_path_factory.mktemp('c') / 'named.json'
    write_ranges(path, done.ranges)
    return path


def pictures():
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (4, 12, 16, 3), np.uint8)
    return [Frame.from_bgr(image.repeat(8, 0).repeat(8, 1)) for image in small]


@pytest.fixture
def engines(yaml, calibration, tmp_path):
    """Builds by TensorRT-RTX; executes the graph of the precision by onnxruntime."""
    try:
        rtx = find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))

    def execute(plan, precision):
        assert len(plan) > 1000
        ranges = load_ranges(calibration) if precision == 'int8' else None
        graph = prepare_graph(load_model_spec(yaml).onnx, precision, ranges).model
        return open_bytes(for_onnxruntime(graph), threads=1)

    device = EngineDevice(rtx, None, execute, ('8.6',))
    return EngineSource(cache=EngineCache(tmp_path / 'engines'), device=device)


class Known(Dataset):
    def __len__(self):
        return 4

    def label(self, index):
        return str(index)

    def read(self, index):
        return Sample(str(index), pictures()[index], np.full((96, 128), index, np.uint8))


def test_where_it_cannot_run_what_is_missing_is_named(yaml):
    for backend in ('tensorrt', 'tensorrt-rtx'):
        lacks = obstacles(backend)
        if not lacks:
            continue
        with pytest.raises(BackendUnavailableError) as caught:
            open_network(load_model_spec(yaml), yaml, 'fp16', backend=backend)
        assert f'backend {backend}: ' in str(caught.value)
        for lack in lacks:
            assert lack in str(caught.value)


def test_int8_needs_a_calibration(yaml, engines):
    with pytest.raises(CalibrationError, match='trt_perception calibrate'):
        open_network(load_model_spec(yaml), yaml, 'int8', backend='tensorrt-rtx', engines=engines)


def test_engines_stand_beside_the_file(yaml, calibration, engines):
    spec = load_model_spec(yaml)
    networks = [
        open_network(
            spec, yaml, precision, backend=backend, calibration=calibration, engines=engines
        )
        for backend, precision in (
            ('tensorrt-rtx', 'fp32'),
            ('tensorrt-rtx', 'int8'),
            ('onnxruntime-cpu', 'fp32'),
        )
    ]
    entries = {entry.identity.precision: entry for entry in engines.cache.entries()}
    assert set(entries) == {'fp32', 'int8'}
    assert networks[1].int8_share == entries['int8'].facts['int8_share'] > 0.5
    assert networks[1].calibration == 'minmax, 4 images of noise'
    assert entries['int8'].facts['gate']['images'] > 0
    data = Known('known', 'semantic', NAMES)
    classes = match_classes(NAMES, NAMES)
    done = evaluate(networks, data, classes)
    for network in networks:
        network.pipeline.close()
    document = document_of(spec, data, classes, done, threads=1)
    assert [n['backend'] for n in document['networks']] == [
        'tensorrt-rtx',
        'tensorrt-rtx',
        'onnxruntime-cpu',
    ]
    plain, small, file = document['networks']
    assert 'an engine by' in plain['how']
    assert '% of pixels agree' in small['verified']
    assert file['verified'] == ''
    assert file['loss'] == dict.fromkeys(file['loss'], 0)
    text = markdown_of(document)
    assert '| int8 tensorrt-rtx |' in text
    assert 'int8 tensorrt-rtx is an engine by TensorRT-RTX' in text
    assert 'by onnxruntime: the graph' not in text


def test_an_engine_below_the_limits_is_measured_and_told(yaml, calibration, engines, tmp_path):
    strict = tmp_path / 'strict.yaml'
    limits = 'quantisation: {gate: {relative_error: 0.0000001}}\n'
    strict.write_text(yaml.read_text().replace('net.onnx', str(yaml.parent / 'net.onnx')) + limits)
    network = open_network(
        load_model_spec(strict),
        strict,
        'int8',
        backend='tensorrt-rtx',
        calibration=calibration,
        engines=engines,
    )
    assert 'Nodes would refuse it: output output0 differs by' in network.verified
    network.pipeline.close()
