"""Calibration with onnxruntime, on networks whose tensors are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from building.calibrated import minmax_ranges
from family_networks import Net, write_family
from networks import write_scaling_detr
from trt_perception.building.calibrate import CalibrationOptions, calibrate
from trt_perception.building.calibration_ranges import load_ranges, write_ranges
from trt_perception.building.onnx_graph import graph_digest
from trt_perception.building.precision import prepare_graph
from trt_perception.building.range_collection import METHODS, RangeCollector, _sampling_step
from trt_perception.errors import CalibrationError, ModelFileError, ParameterError
from trt_perception.frames import Frame
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec

SIZE = (128, 96)


def spec_of(path: Path, **fields) -> ModelSpec:
    return ModelSpec(
        name='net',
        onnx=path,
        family='semantic',
        task='semantic',
        input=InputSpec(size=SIZE, **fields),
        classes=(ClassSpec(name='road'),),
    )


def street(count: int, seed: int = 1) -> list[Frame]:
    """Different images of coloured blocks."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 8, 3), np.uint8)
    return [Frame.from_bgr(cv2.resize(s, SIZE, interpolation=cv2.INTER_NEAREST)) for s in small]


@pytest.fixture(scope='module')
def network(tmp_path_factory) -> Path:
    return write_family(tmp_path_factory.mktemp('n') / 'net.onnx', 'ddrnet', batch='batch')


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A convolution on the images as they are, and one on the negated first channel."""
    weight = numpy_helper.from_array(np.ones((16, 3, 1, 1), np.float32), 'w')
    nodes = [
        helper.make_node('Conv', ['images', 'w'], ['a'], 'one'),
        helper.make_node('Neg', ['images'], ['n'], 'neg'),
        helper.make_node('Conv', ['n', 'w'], ['b'], 'two'),
        helper.make_node('Add', ['a', 'b'], ['y'], 'sum'),
    ]
    value = helper.make_tensor_value_info
    width, height = SIZE
    graph = helper.make_graph(
        nodes,
        'g',
        [value('images', TensorProto.FLOAT, ['batch', 3, height, width])],
        [value('y', TensorProto.FLOAT, ['batch', 16, height, width])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, str(tmp_path / 'net.onnx'))
    return tmp_path / 'net.onnx'


def test_no_images_are_refused(network: Path):
    with pytest.raises(CalibrationError, match=r'DIR: no image that can be used \(2 were'):
        calibrate(spec_of(network), [], source='DIR', unreadable=lambda: 2)


def test_extremes_are_exact(identity: Path):
    levels = np.array([[40, 200]], np.uint8).repeat(3, 0)
    frames = [Frame.from_bgr(np.full((96, 128, 3), v, np.uint8)) for v in levels[0]]
    options = CalibrationOptions('minmax')
    found = calibrate(spec_of(identity), frames, options).ranges.tensors
    assert list(found) == ['images', 'n', 'a', 'b']
    assert (found['images'].low, found['images'].high) == pytest.approx((40 / 255, 200 / 255))
    assert (found['n'].low, found['n'].high) == pytest.approx((-200 / 255, -40 / 255))
    assert found['n'].range == pytest.approx(200 / 255)
    assert found['a'].range == pytest.approx(600 / 255)


def test_the_pipelines_preprocessing_is_used(identity: Path):
    spec = spec_of(identity, mean=(100.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0), color_order='bgr')
    image = np.zeros((50, 50, 3), np.uint8)
    image[..., 0], image[:, 0, 1] = 30, 250
    found = calibrate(spec, [Frame.from_bgr(image)], CalibrationOptions('minmax')).ranges
    entry = found.tensors['images']
    assert (entry.low, entry.high) == (-70, 250)
    assert found.preprocessing == spec.input


@pytest.mark.parametrize('method', METHODS)
def test_a_calibration_serves_the_engine(network: Path, tmp_path: Path, method):
    looked_at = []
    options = CalibrationOptions(method, limit=40, percentile=99.9)
    frames = iter(street(50))
    done = calibrate(spec_of(network), frames, options, source='street', on_image=looked_at.append)
    assert looked_at == list(range(1, 41))
    assert len(list(frames)) == 10
    assert done.warnings == ()
    write_ranges(tmp_path / 'r.json', done.ranges)
    ranges = load_ranges(
        tmp_path / 'r.json',
        onnx_sha256=graph_digest(network),
        preprocessing=spec_of(network).input,
    )
    assert (ranges.method, ranges.images.count) == (method, 40)
    assert len(set(ranges.images.hashes)) == 40
    assert all(0 < e.range <= max(-e.low, e.high) for e in ranges.tensors.values())
    assert prepare_graph(network, 'int8', ranges).int8_share > 0.85
    again = calibrate(spec_of(network), street(50), options, source='street')
    assert again == done


def test_one_pass_serves_all_methods(network: Path):
    tensor = np.random.default_rng(1).random((1, 3, *SIZE[::-1]), np.float32)
    apart = {}
    for method in METHODS:
        alone = RangeCollector(network, method)
        alone.add(tensor)
        apart[method] = alone.ranges()
    together = RangeCollector(network, 'entropy')
    together.add(tensor)
    assert {method: together.ranges(method) for method in METHODS} == apart
    extremes = RangeCollector(network, 'minmax')
    extremes.add(tensor)
    with pytest.raises(ParameterError, match=r'entropy.*needs histograms'):
        extremes.ranges('entropy')


def test_every_tensor_that_may_be_asked_for_is_there(network: Path):
    spec = spec_of(network)
    found = calibrate(spec, street(1), CalibrationOptions('minmax')).ranges
    assert set(found.tensors) == set(minmax_ranges(network, []).tensors)


def test_a_fixed_batch_is_filled(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'unet', batch=2)
    done = calibrate(spec_of(path), street(2), CalibrationOptions('minmax'))
    assert done.ranges.images.count == 2


def test_warnings(network: Path):
    same = calibrate(spec_of(network), street(1) * 40, CalibrationOptions('minmax')).warnings
    assert len(same) == 1
    assert '39 of 40 images are almost the same' in same[0]
    broken = Frame.from_file_bytes(b'no image')
    dark = Frame.from_bgr(np.zeros((9, 9, 3), np.uint8))
    few = calibrate(spec_of(network), [*street(3), broken, dark], CalibrationOptions('minmax'))
    text = '\n'.join(few.warnings)
    for words in ('only 4 images', '1 of 4 images are black', '1 images were skipped'):
        assert words in text


def test_a_tensor_that_never_varies_is_named(tmp_path: Path):
    net = Net()
    x = net.conv('images', 32)
    dead = net.op('Mul', x, net.const(0.0))
    onnx.save(net.model({net.conv(dead, 32): (32, *SIZE[::-1])}), str(tmp_path / 'net.onnx'))
    done = calibrate(spec_of(tmp_path / 'net.onnx'), street(40))
    assert [w for w in done.warnings if f'1 tensors never varied: {dead}' in w]
    assert done.ranges.tensors[dead].range == 0


def test_images_of_no_use_are_refused(network: Path):
    broken = [Frame.from_file_bytes(b'no image')] * 3
    with pytest.raises(CalibrationError, match=r'3 of 5 images cannot be read.*first reason'):
        calibrate(spec_of(network), [*street(2), *broken], source='DIR')
    with pytest.raises(CalibrationError, match=r'4 of 6 images'):
        calibrate(spec_of(network), street(2), unreadable=lambda: 4)
    dark = Frame.from_bgr(np.full((9, 9, 3), 3, np.uint8))
    with pytest.raises(CalibrationError, match='all 2 images are black'):
        calibrate(spec_of(network), [dark, dark])


def test_a_network_that_computes_nan_is_named(tmp_path: Path):
    net = Net()
    root = net.op('Sqrt', net.op('Neg', net.conv('images', 16)))
    onnx.save(net.model({net.conv(root, 16): (16, *SIZE[::-1])}), str(tmp_path / 'net.onnx'))
    for method in METHODS:
        with pytest.raises(CalibrationError, match='image 1: the network computes NaN'):
            calibrate(spec_of(tmp_path / 'net.onnx'), street(1), CalibrationOptions(method))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (CalibrationOptions('guess'), 'method .guess. is unknown'),
        (CalibrationOptions(limit=0), 'at least 1 image'),
        (CalibrationOptions(percentile=0.0), 'percentile'),
        (CalibrationOptions(percentile=101.0), 'percentile'),
    ],
)
def test_options_are_checked(network: Path, options: CalibrationOptions, words: str):
    with pytest.raises(ParameterError, match=words):
        calibrate(spec_of(network), street(1), options)


def test_networks_that_cannot_be_calibrated(tmp_path: Path):
    value = helper.make_tensor_value_info
    add = helper.make_node('Mul', ['images', 'other'], ['y'], 'mul')
    inputs = [value(n, TensorProto.FLOAT, [1, 3, 96, 128]) for n in ('images', 'other')]
    graph = helper.make_graph([add], 'g', inputs, [value('y', TensorProto.FLOAT, None)])
    opset = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(tmp_path / 'n.onnx'))
    with pytest.raises(ModelFileError, match=r'2 inputs \(images, other\)'):
        calibrate(spec_of(tmp_path / 'n.onnx'), street(1))
    with pytest.raises(CalibrationError, match='nothing to calibrate'):
        RangeCollector(tmp_path / 'n.onnx')


def test_a_second_input_that_the_family_fills(tmp_path: Path):
    path = write_scaling_detr(tmp_path / 'net.onnx', [0, 0, 1, 1], size=SIZE)
    spec = msgspec.structs.replace(spec_of(path), family='detr', task='detect')
    made = calibrate(spec, street(3), CalibrationOptions(method='minmax'))
    assert made.ranges.images.count == 3


def test_samples_meet_all_columns():
    assert _sampling_step((1, 3, 4, 4)) == 1
    assert _sampling_step(None) == 1
    step = _sampling_step((1, 64, 160, 160))
    assert step > 50
    assert np.gcd(step, 160) == np.gcd(step, 64) == 1
