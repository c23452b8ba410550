"""Which tensors become int8."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from family_networks import Net, write_family
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.onnx_graph import load_graph
from trt_perception.building.quantisation_plan import (
    QuantisationPlan,
    calibrated_tensors,
    named_nodes,
    plan_quantisation,
)


def index_of(net: Net, output: str, folder: Path) -> GraphIndex:
    onnx.save(net.model({output: (1, 1, 1)}), str(folder / 'net.onnx'))
    return GraphIndex(load_graph(folder / 'net.onnx'))


def plan_of(index: GraphIndex, **peaks: float) -> QuantisationPlan:
    ranges = dict.fromkeys(calibrated_tensors(index), 1.0)
    ranges.update({name.replace('__', '/'): value for name, value in peaks.items()})
    return plan_quantisation(index, ranges, {})


def test_a_network_of_one_layer_stays_float(tmp_path: Path):
    net = Net()
    index = index_of(net, net.conv('images', 32), tmp_path)
    plan = plan_of(index)
    assert plan.reads == {}
    assert list(plan.float_nodes.values()) == ['fewer than 16 channels']


def test_the_skip_of_a_bottleneck_is_quantised_and_nothing_else_of_the_sum(tmp_path: Path):
    net = Net()
    x = net.conv('images', 32)
    inner = net.conv(net.conv(x, 32), 32)
    for first, second in ((x, inner), (inner, x)):
        total = net.op('Add', first, second)
        index = index_of(net, net.conv(net.conv(total, 32), 32), tmp_path)
        add = index.producer[total]
        places = plan_of(index).reads[add.name]
        assert [add.input[i] for i in places] == [x]
        net.nodes = net.nodes[: net.nodes.index(next(n for n in net.nodes if n.name == add.name))]


def test_a_projected_shortcut_is_the_skip(tmp_path: Path):
    net = Net()
    x = net.conv('images', 16, act='relu')
    long = net.conv(net.conv(x, 32, s=2, act='relu'), 32, act='')
    short = net.conv(x, 32, 1, 2, act='')
    total = net.op('Add', short, long)
    index = index_of(net, net.conv(net.conv(total, 32), 32), tmp_path)
    assert plan_of(index).reads[index.producer[total].name] == (0,)


def test_sums_without_a_convolution_of_their_own_are_left_alone(tmp_path: Path):
    net = Net()
    x = net.conv('images', 32)
    resized = net.up(net.conv(x, 32, s=2))
    both = net.op('Add', x, resized)
    offset = net.op('Add', both, net.const([1.0]))
    index = index_of(net, net.conv(net.conv(offset, 32), 32), tmp_path)
    reads = plan_of(index).reads
    assert not {index.producer[both].name, index.producer[offset].name} & reads.keys()


def test_a_concat_shares_one_range(tmp_path: Path):
    net = Net()
    a = net.conv('images', 32)
    b = net.conv(a, 32)
    pooled = net.max_pool(b)
    joined = net.concat(a, b, pooled)
    after = net.conv(net.conv(joined, 32), 32)
    index = index_of(net, net.conv(after, 32), tmp_path)
    peaks = {a: 3.0, b: 2.0, pooled: 2.0, joined: 5.0}
    ranges = dict.fromkeys(calibrated_tensors(index), 1.0) | peaks
    plan = plan_quantisation(index, ranges, {})
    # `pooled` is read by the Concat alone, which does not read int8.
    assert {name: plan.ranges[name] for name in (a, b, joined)} == dict.fromkeys(
        (a, b, joined), 5.0
    )
    assert pooled not in plan.ranges
    assert {plan.ranges[n] for n in plan.ranges if n not in peaks} == {1.0}


def test_heads_distribution_convolution_and_upsampling_stay_float(tmp_path: Path):
    path = write_family(tmp_path / 'net.onnx', 'yolov8_segment')
    index = GraphIndex(load_graph(path))
    plan = plan_of(index)
    reasons = {index.nodes[n].op_type + ': ' + r for n, r in plan.float_nodes.items()}
    assert reasons == {
        'Conv: fewer than 16 channels',
        'Conv: the last layer before an output',
        'ConvTranspose: a transposed convolution',
    }
    for name in plan.float_nodes:
        node = index.nodes[name]
        after = index.downstream(node.output)
        last = plan.float_nodes[name].startswith('the last')
        assert not (last and after & plan.weights.keys())


def test_attention_and_the_decoder_stay_float(tmp_path: Path):
    index = GraphIndex(load_graph(write_family(tmp_path / 'net.onnx', 'rtdetr')))
    plan = plan_of(index)
    decoder = index.downstream(n.output[0] for n in index.nodes.values() if n.op_type == 'TopK')
    assert not decoder & plan.weights.keys()
    products = {n for n in index.nodes if index.nodes[n].op_type == 'MatMul'}
    # Query, key, value, projection and the first of two wide layers of the encoder. The head
    # behind the second has too few channels, which makes the second the last.
    assert len(products & plan.weights.keys()) == 5
    assert all(plan.weights[n].axis == 1 for n in products & plan.weights.keys())


@pytest.mark.parametrize('family', ['yolov8', 'ddrnet', 'unet'])
def test_gates_joins_and_resizes_read_no_int8(tmp_path: Path, family: str):
    index = GraphIndex(load_graph(write_family(tmp_path / 'net.onnx', family)))
    kinds = {index.nodes[name].op_type for name in plan_of(index).reads}
    assert kinds <= {'Conv', 'MatMul', 'Gemm', 'Add', 'MaxPool'}


def test_names_and_patterns(tmp_path: Path):
    index = GraphIndex(load_graph(write_family(tmp_path / 'net.onnx', 'unet')))
    assert named_nodes(index, []) == set()
    assert named_nodes(index, ['/Conv_0', '/MaxPool*']) == {
        '/Conv_0',
        *(n for n in index.nodes if n.startswith('/MaxPool')),
    }


def test_multiply_adds(tmp_path: Path):
    net = Net(size=(64, 32))
    x = net.conv('images', 16, 3, 2)
    x = net.conv(x, 16, 3, g=16)
    weight = net.random((16, 8, 2, 2), 16)
    up = net.op('ConvTranspose', x, weight, channels=8, kernel_shape=[2, 2], strides=[2, 2])
    flat = net.reshape(up, 1, 64, -1)
    index = index_of(net, net.op('MatMul', flat, net.random((256, 10), 256)), tmp_path)
    assert list(index.multiply_adds().values()) == [
        32 * 16 * 16 * 3 * 9,
        32 * 16 * 16 * 9,
        32 * 16 * 16 * 8 * 4,
        64 * 256 * 10,
    ]
