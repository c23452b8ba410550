"""What stays float32 in a float16 network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from family_networks import Net, write_family
from trt_perception.building.cpu_execution import for_onnxruntime
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.half_precision import coordinate_nodes, to_half
from trt_perception.building.onnx_graph import load_graph

node = helper.make_node


def halved(path: Path, keep: tuple[str, ...] = ()) -> onnx.ModelProto:
    model = load_graph(path)
    to_half(model, keep, str(path))
    onnx.checker.check_model(model, full_check=True)
    return model


def kinds_of(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of what each node writes first."""
    index = GraphIndex(model)
    return {n.name: index.types[n.output[0]] for n in model.graph.node}


def saved(folder: Path, nodes, weights, shape=('batch', 4), out=('batch', 4)) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, 'g', [value('x', 1, shape)], [value('y', 1, out)], weights
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, str(folder / 'net.onnx'))
    return folder / 'net.onnx'


def weight(name: str, value) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, np.float32), name)


def test_a_network_without_float_is_left_alone(tmp_path: Path):
    value = helper.make_tensor_value_info
    kind = TensorProto.INT64
    nodes = [node('Neg', ['x'], ['y'], 'neg')]
    graph = helper.make_graph(nodes, 'g', [value('x', kind, [2])], [value('y', kind, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, str(tmp_path / 'net.onnx'))
    assert list(halved(tmp_path / 'net.onnx').graph.node) == nodes


@pytest.mark.parametrize('family', ['yolov8', 'yolov5'])
def test_pixels_stay_float32(tmp_path: Path, family: str):
    """A box at 500.3 pixels must not become 500.25 or 500.5."""
    path = write_family(tmp_path / 'net.onnx', family, size=(640, 96))
    model = load_graph(path)
    pixels = coordinate_nodes(GraphIndex(model))
    to_half(model, pixels, 'net')
    image = np.random.default_rng(1).random((1, 3, 96, 640), np.float32)
    outputs = [
        ort.InferenceSession(data).run(None, {'images': image})[0]
        for data in (path.read_bytes(), for_onnxruntime(model.SerializeToString()))
    ]
    boxes = [o[0, :4] if family == 'yolov8' else o[0, :, :2].T for o in outputs]
    assert boxes[0].max() > 512
    assert np.abs(boxes[0] - boxes[1])[:2].max() < 0.1
    written = kinds_of(model)
    assert {written[name] for name in pixels} == {TensorProto.FLOAT}
    assert not {n.name for n in model.graph.node if n.op_type == 'Conv'} & pixels


def test_segmentation_has_no_pixels(tmp_path: Path):
    model = load_graph(write_family(tmp_path / 'net.onnx', 'ddrnet'))
    assert coordinate_nodes(GraphIndex(model)) == set()


def test_float32_neighbours_hand_float32_to_each_other(tmp_path: Path):
    nodes = [
        node('Add', ['x', 'w'], ['a'], 'add'),
        node('Sub', ['a', 'w'], ['b'], 'sub'),
        node('Mul', ['b', 'w'], ['c'], 'mul'),
        node('Relu', ['c'], ['y'], 'relu'),
    ]
    path = saved(tmp_path, nodes, [weight('w', [1, 2, 3, 4])])
    model = halved(path, ('add', 'sub'))
    kinds = kinds_of(model)
    half = TensorProto.FLOAT16
    assert (kinds['add'], kinds['sub'], kinds['mul'], kinds['relu']) == (1, 1, half, half)
    # One cast into float16, one for the output; the weight is there in both types.
    assert sum(n.op_type == 'Cast' for n in model.graph.node) == 2
    assert sorted(t.data_type for t in model.graph.initializer) == [1, half]


def test_arithmetic_with_shapes_stays_float32(tmp_path: Path):
    nodes = [
        node('Shape', ['x'], ['s'], 'shape'),
        node('Cast', ['s'], ['f'], 'cast', to=TensorProto.FLOAT),
        node('Mul', ['f', 'two'], ['g'], 'mul'),
        node('Cast', ['g'], ['i'], 'back', to=TensorProto.INT64),
        node('Expand', ['x', 'i'], ['e'], 'expand'),
        node('ReduceSum', ['e'], ['y'], 'sum', keepdims=0),
    ]
    path = saved(tmp_path, nodes, [weight('two', [1, 1])], out=())
    kinds = kinds_of(halved(path))
    assert (kinds['cast'], kinds['mul'], kinds['sum']) == (1, 1, TensorProto.FLOAT16)


def test_graphs_inside_nodes_read_float32(tmp_path: Path):
    value = helper.make_tensor_value_info
    branches = [
        helper.make_graph([node(op, ['a'], ['r'])], op, [], [value('r', 1, None)])
        for op in ('Relu', 'Neg')
    ]
    nodes = [
        node('Mul', ['x', 'w'], ['a'], 'mul'),
        node('ReduceMax', ['a'], ['top'], 'top', keepdims=0),
        node('Cast', ['top'], ['is'], 'cast', to=TensorProto.BOOL),
        node('If', ['is'], ['b'], 'if', then_branch=branches[0], else_branch=branches[1]),
        node('Mul', ['b', 'w'], ['y'], 'last'),
    ]
    path = saved(tmp_path, nodes, [weight('w', [1, 2, 3, 4])])
    model = halved(path)
    x = np.ones((1, 4), np.float32)
    (result,) = ort.InferenceSession(model.SerializeToString()).run(None, {'x': x})
    assert result.tolist() == [[1, 4, 9, 16]]
    assert kinds_of(model)['if'] == TensorProto.FLOAT


def test_an_output_that_is_also_read_inside(tmp_path: Path):
    nodes = [node('Relu', ['x'], ['y'], 'r'), node('Neg', ['y'], ['unused'], 'n')]
    model = halved(saved(tmp_path, nodes, []))
    x = np.full((1, 4), 0.1, np.float32)
    network = for_onnxruntime(model.SerializeToString())
    (result,) = ort.InferenceSession(network).run(None, {'x': x})
    assert result.dtype == np.float32
    assert result[0, 0] == np.float32(np.float16(0.1))


@pytest.mark.parametrize('operators', [[], ['Relu'], ['Sigmoid', 'Tanh', 'Sigmoid']])
def test_onnxruntime_rounds_every_float16_result(tmp_path: Path, operators: list[str]):
    formulas = {
        'Relu': lambda x: x,
        'Sigmoid': lambda x: 1 / (1 + np.exp(-x)),
        'Tanh': np.tanh,
    }
    x = np.linspace(0.1, 1, 4, dtype=np.float32).reshape(1, 4)
    expected = x.astype(np.float16)
    nodes = [node('Cast', ['x'], ['t0'], 'first', to=TensorProto.FLOAT16)]
    for i, operator in enumerate(operators):
        nodes.append(node(operator, [f't{i}'], [f't{i + 1}'], f'n{i}'))
        expected = formulas[operator](expected.astype(np.float32)).astype(np.float16)
    nodes.append(node('Cast', [f't{len(operators)}'], ['y'], 'last', to=TensorProto.FLOAT))
    model = for_onnxruntime(saved(tmp_path, nodes, []).read_bytes())
    (result,) = ort.InferenceSession(model).run(None, {'x': x})
    assert np.array_equal(result, expected.astype(np.float32))


def test_large_weights_are_held_at_the_limit(tmp_path: Path):
    model = halved(saved(tmp_path, [node('Add', ['x', 'w'], ['y'], 'a')], [weight('w', [1e9])]))
    (tensor,) = model.graph.initializer
    assert numpy_helper.to_array(tensor).tolist() == [65504.0]


def test_resize_keeps_float32_scales(tmp_path: Path):
    net = Net()
    x = net.up(net.conv('images', 16))
    onnx.save(net.model({x: (16, 192, 256)}), str(tmp_path / 'net.onnx'))
    model = halved(tmp_path / 'net.onnx')
    resize = next(n for n in model.graph.node if n.op_type == 'Resize')
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds[resize.input[2]] == TensorProto.FLOAT
