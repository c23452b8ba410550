"""Graphs prepared in every precision, on networks of the well-known families."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from building.calibrated import minmax_ranges, noise, run
from family_networks import FAMILIES, write_family
from graph_structure import structural_faults
from trt_perception.building.calibration_ranges import CalibrationRanges, TensorRange
from trt_perception.building.cpu_execution import for_onnxruntime
from trt_perception.building.precision import prepare_graph
from trt_perception.errors import CalibrationError, ModelFileError, ParameterError

SELECTS = {'yolov10', 'rtdetr'}
"""Families that pick the best of many: rounding may swap two of nearly the same score."""


def error(reference: list[np.ndarray], result: list[np.ndarray]) -> float:
    return max(
        float(np.linalg.norm(a - b) / np.linalg.norm(a))
        for a, b in zip(reference, result, strict=True)
    )


def write_ranges_of(value: float, *names: str) -> CalibrationRanges:
    tensors = {name: TensorRange(value) for name in names}
    return CalibrationRanges(onnx='x', onnx_sha256='0', method='minmax', tensors=tensors)


@pytest.fixture(scope='module', params=list(FAMILIES))
def family(request, tmp_path_factory) -> tuple[str, Path, CalibrationRanges]:
    path = tmp_path_factory.mktemp('family') / f'{request.param}.onnx'
    write_family(path, request.param, batch='batch')
    return request.param, path, minmax_ranges(path, noise())


def test_a_network_without_weights_cannot_become_int8(tmp_path: Path):
    from networks import write_constant_network

    path = write_constant_network(tmp_path / 'c.onnx', {'y': np.zeros((2, 3), np.float32)})
    with pytest.raises(CalibrationError, match='no layer can become int8: it has no weighted'):
        prepare_graph(path, 'int8', write_ranges_of(1.0, 'images'))
    for precision in ('fp32', 'fp16'):
        graph = prepare_graph(path, precision)
        (result,) = run(graph.model, np.zeros((1, 3, 48, 64), np.float32))
        assert result.dtype == np.float32
        assert not result.any()


def test_fp32_keeps_the_numbers(family):
    _, path, _ = family
    (image, _) = noise()
    graph = prepare_graph(path, 'fp32')
    assert error(run(path.read_bytes(), image), run(graph.model, image)) < 1e-6
    assert structural_faults(onnx.load_model_from_string(graph.model)) == []
    assert graph.int8_share == 0


def test_fp16_is_close_and_keeps_inputs_and_outputs(family):
    name, path, _ = family
    (image, _) = noise()
    graph = prepare_graph(path, 'fp16')
    model = onnx.load_model_from_string(graph.model)
    onnx.checker.check_model(model, full_check=True)
    assert structural_faults(model) == []
    before = onnx.load(str(path)).graph
    assert list(model.graph.input) == list(before.input)
    assert [o.name for o in model.graph.output] == [o.name for o in before.output]
    result = run(for_onnxruntime(graph.model), image)
    assert all(value.dtype == np.float32 for value in result)
    if name not in SELECTS:
        assert error(run(path.read_bytes(), image), result) < 2e-3
    weights = [t.data_type for t in model.graph.initializer if len(t.dims) == 4 and t.dims[0] > 1]
    assert set(weights) == {onnx.TensorProto.FLOAT16}


def test_int8_is_what_tensorrt_takes(family):
    name, path, ranges = family
    graph = prepare_graph(path, 'int8', ranges)
    model = onnx.load_model_from_string(graph.model)
    onnx.checker.check_model(model, full_check=True)
    assert structural_faults(model) == []
    # The toy detector with a transformer has hardly any backbone.
    assert graph.int8_share >= (0.7 if name == 'rtdetr' else 0.85)


def test_int8_is_close(family):
    name, path, ranges = family
    reference = [run(path.read_bytes(), image) for image in noise()]
    model = for_onnxruntime(prepare_graph(path, 'int8', ranges).model)
    plain = prepare_graph(path, 'int8', ranges, remainder='fp32').model
    for image, expected in zip(noise(), reference, strict=True):
        result = run(model, image)
        assert error(expected, result) > 0
        if name in SELECTS:
            assert np.isfinite(result[0]).all()
            continue
        assert error(expected, result) < 0.05
        # float16 changes hardly anything beyond what int8 does.
        assert error(run(plain, image), result) < 0.03


def test_preparation_is_repeatable(family):
    _, path, ranges = family
    one, two = (prepare_graph(path, 'int8', ranges) for _ in range(2))
    assert one == two


def test_layers_are_kept_float_on_request(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'ddrnet')
    ranges = minmax_ranges(path, noise(1))
    plain = prepare_graph(path, 'int8', ranges)
    first = next(
        n.name
        for n in onnx.load_model_from_string(plain.model).graph.node
        if n.op_type == 'Conv' and n.name not in plain.float_nodes
    )
    kept = prepare_graph(path, 'int8', ranges, keep_float=[first])
    assert kept.float_nodes[first] == 'asked for'
    assert kept.int8_share < plain.int8_share
    assert structural_faults(onnx.load_model_from_string(kept.model)) == []
    with pytest.raises(CalibrationError, match=r'no layer can become int8: .*asked for'):
        prepare_graph(path, 'int8', ranges, keep_float=['/Conv*'])
    with pytest.raises(ParameterError, match=r"no node '/Conv_O' \(did you mean '/Conv_"):
        prepare_graph(path, 'int8', ranges, keep_float=['/Conv_O'])


def test_what_overflows_float16_stays_float32(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'ddrnet')
    ranges = minmax_ranges(path, noise(1))
    tensor = onnx.load(str(path)).graph.node[2].input[0]
    large = write_ranges_of(60000.0, tensor)
    model = onnx.load_model_from_string(prepare_graph(path, 'fp16', large).model)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    conv = next(n for n in model.graph.node if n.name == '/Conv_2')
    assert kinds[conv.input[1]] == onnx.TensorProto.FLOAT
    assert structural_faults(model) == []
    both = CalibrationRanges(
        onnx='x', onnx_sha256='0', method='minmax', tensors=ranges.tensors | large.tensors
    )
    graph = prepare_graph(path, 'int8', both)
    assert graph.float_nodes['/Conv_2'] == 'exceeds float16'
    assert structural_faults(onnx.load_model_from_string(graph.model)) == []


def test_uncalibrated_and_silent_tensors_stay_float(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'unet')
    ranges = minmax_ranges(path, noise(1))
    model = onnx.load(str(path)).graph
    convs = [n for n in model.node if n.op_type == 'Conv']
    tensors = dict(ranges.tensors)
    del tensors[convs[2].input[0]]
    tensors[convs[3].input[0]] = TensorRange(0.0)
    thin = CalibrationRanges(onnx='x', onnx_sha256='0', method='minmax', tensors=tensors)
    graph = prepare_graph(path, 'int8', thin)
    assert graph.float_nodes[convs[2].name] == 'its input was not calibrated'
    assert graph.float_nodes[convs[3].name] == 'its input never left zero in calibration'


def test_older_opsets_are_raised(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'unet', opset=13)
    ranges = minmax_ranges(path, noise(1))
    model = onnx.load_model_from_string(prepare_graph(path, 'int8', ranges).model)
    assert model.opset_import[0].version == 19
    assert structural_faults(model) == []
    kept = onnx.load_model_from_string(prepare_graph(path, 'fp16').model)
    assert kept.opset_import[0].version == 13


def test_what_is_missing_is_asked_for(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'unet')
    with pytest.raises(CalibrationError, match='trt_perception calibrate'):
        prepare_graph(path, 'int8')
    with pytest.raises(ParameterError, match='int4'):
        prepare_graph(path, 'int4')
    with pytest.raises(ModelFileError, match='no such ONNX'):
        prepare_graph(tmp_path / 'none.onnx', 'fp16')


def test_a_network_that_is_quantised_already(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'unet')
    first = prepare_graph(path, 'int8', minmax_ranges(path, noise(1)), remainder='fp32')
    (tmp_path / 'trained.onnx').write_bytes(first.model)
    for precision in ('int8', 'fp16'):
        again = prepare_graph(tmp_path / 'trained.onnx', precision)
        assert again.int8_share == pytest.approx(first.int8_share)
        assert structural_faults(onnx.load_model_from_string(again.model)) == []
    (image,) = noise(1)
    result = run(for_onnxruntime(again.model), image)
    assert error(run(first.model, image), result) < 0.05


@pytest.mark.parametrize(
    ('zero', 'words'),
    [(np.array(1, np.int8), 'zero point other than 0'), (np.array(0, np.uint8), 'is not int8')],
)
def test_quantisers_that_tensorrt_refuses(tmp_path: Path, zero: np.ndarray, words: str):
    path = write_family(tmp_path / 'net.onnx', 'unet')
    graph = prepare_graph(path, 'int8', minmax_ranges(path, noise(1)), remainder='fp32')
    model = onnx.load_model_from_string(graph.model)
    name = next(n for n in model.graph.node if n.op_type == 'QuantizeLinear').input[2]
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(onnx.numpy_helper.from_array(zero, name))
    onnx.save(model, str(tmp_path / 'other.onnx'))
    with pytest.raises(ModelFileError, match=words):
        prepare_graph(tmp_path / 'other.onnx', 'int8')
