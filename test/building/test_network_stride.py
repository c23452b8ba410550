"""Of what a picture's extents must be multiples: asked of the graph, proved by onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from family_networks import Net, write_family
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.network_stride import NetworkStride, network_stride
from trt_perception.building.onnx_graph import load_graph


def stride_of(network: onnx.ModelProto, folder: Path) -> NetworkStride:
    onnx.save(network, str(folder / 'net.onnx'))
    return network_stride(GraphIndex(load_graph(folder / 'net.onnx')))


def closed(net: Net, x: str) -> onnx.ModelProto:
    return net.model({x: (net.channels[x], 'rows', 'columns')})


def test_a_network_that_joins_nothing_takes_any_size(tmp_path: Path):
    net = Net()
    assert stride_of(closed(net, net.op('Relu', 'images')), tmp_path) == NetworkStride(1, 1)
    net = Net()
    deep = net.conv(net.conv(net.conv('images', 16, s=2), 16, s=2), 16, s=2)
    assert stride_of(closed(net, net.up(deep, 8)), tmp_path) == NetworkStride(1, 1)


@pytest.mark.parametrize(
    ('family', 'stride'),
    [
        *(('yolov8', 32), ('yolov8_segment', 32), ('yolo11', 32), ('yolov10', 32), ('yolov5', 32)),
        *(('rtdetr', 32), ('ddrnet', 32), ('unet', 8)),
    ],
)
def test_families(tmp_path: Path, family: str, stride: int):
    path = write_family(tmp_path / 'net.onnx', family)
    index = GraphIndex(load_graph(path))
    found = network_stride(index)
    assert (found.width, found.height) == (stride, stride)
    assert index.nodes[found.node].op_type in ('Concat', 'Add')


def test_width_and_height_may_differ(tmp_path: Path):
    net = Net()
    flat = net.op(
        'Conv', 'images', net.random((16, 3, 3, 3), 27), channels=16, strides=[1, 4], pads=[1] * 4
    )
    wide = net.op('Resize', flat, '', net.const([1, 1, 1, 4]), mode='nearest')
    joined = net.concat('images', wide)
    found = stride_of(closed(net, joined), tmp_path)
    assert (found.width, found.height) == (4, 1)
    assert 'Concat' in found.node


def test_what_is_cut_to_fit_asks_for_nothing(tmp_path: Path):
    net = Net()
    up = net.up(net.conv('images', 16, s=2))
    extents = net.op(
        'Slice', net.op('Shape', 'images'), *(net.const([n], np.int64) for n in (2, 4))
    )
    axes = net.const([2, 3], np.int64)
    cut = net.op('Slice', up, net.const([0, 0], np.int64), extents, axes)
    assert stride_of(closed(net, net.concat('images', cut)), tmp_path) == NetworkStride(1, 1)


def test_what_takes_its_size_from_elsewhere_asks_for_nothing(tmp_path: Path):
    net = Net()
    small = net.conv('images', 16, s=2)
    batch = net.const([1, 16], np.int64)
    extents = net.op(
        'Slice', net.op('Shape', 'images'), *(net.const([n], np.int64) for n in (2, 4))
    )
    up = net.op('Resize', small, '', '', net.op('Concat', batch, extents, axis=0), mode='nearest')
    assert stride_of(closed(net, net.concat('images', up)), tmp_path) == NetworkStride(1, 1)


@pytest.mark.parametrize('family', ['unet', 'ddrnet', 'yolov8'])
def test_onnxruntime_takes_the_multiples_and_nothing_between(tmp_path: Path, family: str):
    import onnxruntime

    path = write_family(tmp_path / 'net.onnx', family, open_size=True)
    stride = network_stride(GraphIndex(load_graph(path)))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options)

    def runs(width: int, height: int) -> bool:
        try:
            session.run(None, {'images': np.zeros((1, 3, height, width), np.float32)})
        except Exception:  # onnxruntime's own exceptions share no public base class
            return False
        return True

    assert runs(2 * stride.width, 3 * stride.height)
    assert not runs(2 * stride.width + stride.width // 2, 3 * stride.height)
    assert not runs(2 * stride.width, 3 * stride.height + stride.height // 2)
