"""One model in several precisions."""

from __future__ import annotations

import numpy as np
import pytest

from family_networks import write_family
from trt_perception.building.calibrate import CalibrationOptions, calibrate
from trt_perception.building.calibration_ranges import ranges_path, write_ranges
from trt_perception.errors import CalibrationError, ParameterError
from trt_perception.evaluation.networks import (
    checked_backends,
    checked_precisions,
    open_network,
)
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec


@pytest.fixture(scope='module')
def yaml(tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    write_family(folder / 'net.onnx', 'ddrnet')
    file = folder / 'net.yaml'
    file.write_text('onnx: net.onnx\nfamily: semantic\nclasses: [a, b, c, d, e, f]\n')
    return file


def pictures():
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (4, 12, 16, 3), np.uint8)
    return [Frame.from_bgr(image.repeat(8, 0).repeat(8, 1)) for image in small]


def test_precisions_are_checked():
    assert checked_precisions(['int8', 'fp32', 'int8']) == ('int8', 'fp32')
    with pytest.raises(ParameterError, match='no precision'):
        checked_precisions([])
    with pytest.raises(ParameterError, match="'int4' is unknown"):
        checked_precisions(['int4'])


def test_backends_are_checked():
    found = checked_backends(['tensorrt', 'onnxruntime', 'onnxruntime-cpu'])
    assert found == ('tensorrt', 'onnxruntime-cpu')
    for names in ([], ['auto'], ['cuda']):
        with pytest.raises(ParameterError, match=r'is unknown; allowed: tensorrt, .*onnxruntime'):
            checked_backends(names)


def test_int8_needs_a_calibration(yaml):
    with pytest.raises(CalibrationError, match='trt_perception calibrate'):
        open_network(load_model_spec(yaml), yaml, 'int8')


def test_three_precisions_of_one_model(yaml, tmp_path):
    spec = load_model_spec(yaml)
    done = calibrate(spec, pictures(), CalibrationOptions('minmax', 4, 99.99, 1), source='noise')
    named = tmp_path / 'named.json'
    write_ranges(named, done.ranges)
    networks = [
        open_network(spec, yaml, precision, calibration=named, threads=1)
        for precision in ('fp32', 'fp16', 'int8')
    ]
    assert not ranges_path(yaml).exists()
    plain, half, small = networks
    assert plain.file_bytes == spec.onnx.stat().st_size
    assert half.file_bytes < plain.file_bytes
    assert 0 < small.int8_share <= 1
    assert small.calibration == 'minmax, 4 images of noise'
    assert 'for TensorRT' in small.how
    (frame, *_) = pictures()
    name = plain.pipeline.runtime.inputs[0].name
    tensor = np.moveaxis(frame.data.reshape(1, 96, 128, 3) / np.float32(255), 3, 1)
    outputs = [
        next(iter(n.pipeline.runtime.infer({name: np.ascontiguousarray(tensor)}).values()))
        for n in networks
    ]
    errors = [np.abs(output - outputs[0]).max() for output in outputs]
    # Each precision is another network: it must not be float32 under another name.
    assert 0 < errors[1] < errors[2] < np.abs(outputs[0]).max()
    for network in networks:
        network.pipeline.close()
