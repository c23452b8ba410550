"""Pairs of quantisers: numbers and structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from building.calibrated import minmax_ranges, noise, run
from family_networks import write_family
from graph_structure import structural_faults
from trt_perception.building.cpu_execution import for_onnxruntime
from trt_perception.building.precision import prepare_graph
from trt_perception.building.quantisation import half_up, quantised_weight, scale_of

SMALL = st.floats(0, 64.0, width=32)
WEIGHTS = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.floats(
        -64.0, 64.0, width=32
    )
)  # fmt: skip


def test_no_weights():
    weight, scale = quantised_weight(np.zeros((2, 3), np.float32), 0)
    assert not weight.any()
    assert (scale > 0).all()


@given(arrays.arrays(np.float32, 8, elements=SMALL))
def test_scales_fit_float16_and_cover_the_range(greatest: np.ndarray):
    scale = scale_of(greatest)
    assert (scale == scale.astype(np.float16)).all()
    assert (scale > 0).all()
    assert (scale.astype(np.float64) * 127 >= greatest * (1 - 1e-6)).all()
    assert (half_up(scale) == scale).all()
    # No coarser than float16 makes it.
    usual = greatest / 127 > 1e-4
    assert (scale[usual] * 127 <= greatest[usual] * 1.001).all()


@given(WEIGHTS, st.integers(0, 1))
def test_weights_lie_on_their_grid_and_close(weight: np.ndarray, axis: int):
    moved, scale = quantised_weight(weight, axis)
    step = scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    steps = moved.astype(np.float64) / step
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    assert np.abs(steps).max() <= 127 + 1e-3
    assert (np.abs(moved - weight) <= step * 0.5001).all()
    # float16 cannot push a value to the next step.
    again = moved.astype(np.float16).astype(np.float64) / step
    assert (np.rint(again) == np.rint(steps)).all()


def pair(kind: str, scale: list[float], values: np.ndarray) -> bytes:
    """A network that quantises and dequantises its input in float16."""
    value = helper.make_tensor_value_info
    half = TensorProto.FLOAT16
    weights = [
        numpy_helper.from_array(np.array(scale[0], np.float16), 's'),
        numpy_helper.from_array(np.array(0, np.int8), 'z'),
    ]
    nodes = [
        helper.make_node('Cast', ['images'], ['h'], 'cast', to=half),
        helper.make_node('QuantizeLinear', ['h', 's', 'z'], ['q'], 'q'),
        helper.make_node('DequantizeLinear', ['q', 's', 'z'], ['d'], 'dq'),
        helper.make_node('Cast', ['d'], ['y'], 'back', to=TensorProto.FLOAT),
    ]
    io = [value(n, TensorProto.FLOAT, values.shape) for n in ('images', 'y')]
    graph = helper.make_graph(nodes, kind, io[:1], io[1:], weights)
    opset = [helper.make_opsetid('', 19)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def test_onnxruntime_rounds_as_tensorrt_does():
    values = np.linspace(-3, 3, 1001, dtype=np.float32).reshape(1, -1)
    model = pair('pair', [0.03125], values)
    (result,) = run(for_onnxruntime(model), values)
    half = values.astype(np.float16).astype(np.float32)
    assert np.array_equal(result, np.clip(np.rint(half / 0.03125), -128, 127) * 0.03125)


@pytest.fixture(scope='module')
def quantised(tmp_path_factory) -> bytes:
    path: Path = write_family(tmp_path_factory.mktemp('q') / 'net.onnx', 'ddrnet')
    return prepare_graph(path, 'int8', minmax_ranges(path, noise(1))).model


def first(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def replace(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value, name))


def nonzero_point(model):
    replace(model, first(model, 'QuantizeLinear').input[2], np.array(3, np.int8))


def unsigned(model):
    replace(model, first(model, 'QuantizeLinear').input[2], np.array(0, np.uint8))


def negative_scale(model):
    replace(model, first(model, 'QuantizeLinear').input[1], np.array(-1, np.float16))


def scale_of_another_type(model):
    replace(model, first(model, 'QuantizeLinear').input[1], np.array(1, np.float32))


def unnamed(model):
    first(model, 'Conv').name = ''


def unsorted(model):
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))


def old_opset(model):
    model.opset_import[0].version = 17


def bare_weight(model):
    conv = [n for n in model.graph.node if n.op_type == 'Conv'][3]
    conv.input[1] = conv.input[2]


def quantised_gate(model):
    dequantised = first(model, 'DequantizeLinear').output[0]
    first(model, 'Resize').input[0] = dequantised


def quantised_bias(model):
    conv = [n for n in model.graph.node if n.op_type == 'Conv'][3]
    conv.input[2] = conv.input[1]


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (nonzero_point, 'zero point int8'),
        (unsigned, 'zero point uint8'),
        (negative_scale, 'not positive'),
        (scale_of_another_type, 'differ in type'),
        (unnamed, 'no name'),
        (unsorted, 'stands before'),
        (old_opset, 'Q/DQ in opset 17'),
        (bare_weight, 'on one side only'),
        (quantised_gate, 'read by Resize'),
        (quantised_bias, 'its bias is quantised'),
    ],
)
def test_the_check_finds(quantised: bytes, damage, words: str):
    model = onnx.load_model_from_string(quantised)
    assert structural_faults(model) == []
    damage(model)
    assert any(words in fault for fault in structural_faults(model))
