"""From a torch module or an ONNX file to a complete ONNX file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from exporting.test_argmax import semantic
from networks import write_constant_network
from trt_perception.errors import ExportError, MissingDependencyError
from trt_perception.exporting import finishing, torch_module
from trt_perception.exporting.comparison import outputs_of, random_images
from trt_perception.exporting.export import Export, export
from trt_perception.exporting.suppression import SuppressionOptions
from trt_perception.model_spec import load_model_spec
from trt_perception.onnx_file import read_onnx

NAMES = {'names': json.dumps(['car', 'dog'])}
OUTPUTS = {'output0': np.full((6, 84), 0.25, np.float32)}


def plain(source: Path, out: Path, **options) -> Export:
    return Export(str(source), out, simplify=False, **options)


def test_metadata_makes_a_file_complete(tmp_path):
    source = write_constant_network(tmp_path / 'a.onnx', OUTPUTS, size=(64, 64))
    done = export(plain(source, tmp_path / 'o' / 'b.onnx', metadata=NAMES))
    assert (done.difference, done.compared_with) == (0, 'a.onnx')
    assert done.spec is not None
    assert (done.spec.family, done.spec.task) == ('yolov8', 'detect')
    assert done.spec == load_model_spec(tmp_path / 'o' / 'b.onnx')


def test_what_is_still_missing_is_said(tmp_path):
    source = write_constant_network(tmp_path / 'a.onnx', OUTPUTS, size=(64, 64))
    done = export(plain(source, tmp_path / 'b.onnx'))
    assert done.spec is None
    assert 'family: NAME' in done.asks


def test_channels_last_become_channels_first(tmp_path):
    source = tmp_path / 'a.onnx'
    nodes = [
        onnx.helper.make_node('Transpose', ['x'], ['t'], 't', perm=[0, 3, 1, 2]),
        onnx.helper.make_node('ReduceMean', ['t'], ['y'], 'm', axes=[2, 3], keepdims=0),
    ]
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (('x', [1, 8, 16, 3]), ('y', [1, 3]))
    )
    graph = onnx.helper.make_graph(nodes, 'g', [x], [y])
    opsets = [onnx.helper.make_opsetid('', 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), source)
    done = export(plain(source, tmp_path / 'b.onnx'))
    file = read_onnx(done.path)
    assert (file.layout, file.inputs[0].shape, file.input_size()) == (
        'NCHW',
        (1, 3, 8, 16),
        (16, 8),
    )
    images = random_images((1, 3, 8, 16))
    np.testing.assert_allclose(outputs_of(done.path, images)['y'], images.mean(axis=(2, 3)), 1e-5)


def test_what_was_usual_for_the_family_before_suppression_is_said(tmp_path):
    """YOLOX takes BGR pixels as they are; the family that reads the result does not."""
    outputs = {'output': np.full((84, 7), 0.25, np.float32)}
    source = write_constant_network(tmp_path / 'a.onnx', outputs, size=(64, 64))
    metadata = {**NAMES, 'family': 'yolox'}
    with pytest.raises(ExportError, match='not decoded'):
        export(plain(source, source, metadata=metadata, suppression=SuppressionOptions()))
    write_constant_network(source, {'output0': outputs['output'].T}, size=(64, 64))
    metadata = {**NAMES, 'family': 'yolov8', 'color_order': 'bgr', 'scale': '1'}
    done = export(
        plain(source, tmp_path / 'b.onnx', suppression=SuppressionOptions(), metadata={
            **metadata, 'names': json.dumps(['a', 'b', 'c'])
        })
    )  # fmt: skip
    assert done.spec is not None
    assert (done.spec.family, done.spec.input.color_order) == ('yolov10', 'bgr')
    assert done.spec.input.scale == (1, 1, 1)


def test_another_size_than_the_file_has_is_refused(tmp_path):
    source = write_constant_network(tmp_path / 'a.onnx', OUTPUTS, size=(64, 64))
    with pytest.raises(ExportError, match='takes images of 64x64 and no others'):
        export(plain(source, tmp_path / 'b.onnx', size=(32, 32)))
    assert not (tmp_path / 'b.onnx').exists()
    assert export(plain(source, tmp_path / 'b.onnx', size=(64, 64))).difference == 0


def test_an_open_size_is_asked_for(tmp_path):
    source = semantic(tmp_path / 'a.onnx')
    model = onnx.load(source)
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_param = 'open'
    for output in model.graph.output:
        for dimension in output.type.tensor_type.shape.dim[2:]:
            dimension.dim_param = 'out'
    onnx.save(model, source)
    with pytest.raises(ExportError, match='say --size'):
        export(plain(source, tmp_path / 'b.onnx'))
    assert export(plain(source, tmp_path / 'b.onnx', size=(64, 48))).difference == 0


@pytest.mark.parametrize(
    ('library', 'use'),
    [
        ('onnxslim', lambda: finishing.simplified(onnx.ModelProto())),
        ('torch', lambda: torch_module.load_module('a:b', None)),
    ],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, library, use):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf'{library}.*\[export\]'):
        use()


def test_simplification_folds_and_keeps_what_is_computed(tmp_path):
    pytest.importorskip('onnxslim', reason="needs the extra 'export'")
    source = semantic(tmp_path / 'a.onnx')
    model = onnx.load(source)
    model.graph.node[0].output[0] = 'inner'
    model.graph.node.append(onnx.helper.make_node('Identity', ['inner'], ['logits'], 'same'))
    onnx.save(model, source)
    done = export(Export(str(source), tmp_path / 'b.onnx'))
    assert (done.nodes, done.difference) == (1, 0)


# What torch is needed for

FROM = 'exporting.small_networks'


@pytest.fixture
def torch():
    return pytest.importorskip('torch', reason="needs the extra 'export'")


def test_a_module_is_traced_compared_and_described(torch, tmp_path):
    metadata = {'names': json.dumps(['a', 'b', 'c']), 'mean': '127.5', 'scale': '0.01'}
    wanted = plain(
        f'{FROM}:semantic', tmp_path / 'a.onnx', size=(64, 32), metadata=metadata, argmax=True
    )
    done = export(wanted)
    assert done.compared_with == 'torch'
    assert done.difference < 1e-4
    assert done.spec is not None
    assert (done.spec.family, done.spec.input.mean) == ('semantic', (127.5,) * 3)
    images = random_images((2, 3, 32, 64))
    ids = outputs_of(done.path, images)['class_ids']
    assert (ids.dtype, ids.shape) == (np.uint8, (2, 32, 64))


def test_a_detector_returns_few_objects(torch, tmp_path):
    wanted = plain(
        f'{FROM}:detector', tmp_path / 'a.onnx', size=(64, 32), open_batch=False,
        metadata={**NAMES, 'family': 'yolov8'}, suppression=SuppressionOptions(candidates=20),
    )  # fmt: skip
    done = export(wanted)
    [output] = read_onnx(done.path).outputs
    assert output.shape == (1, 20, 6)
    assert done.spec is not None
    assert done.spec.family == 'yolov10'


def test_weights_are_those_of_the_file(torch, tmp_path):
    from exporting.small_networks import semantic as make

    network = make()
    with torch.no_grad():
        network.head.weight.fill_(0)
        network.head.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    torch.save({'state_dict': network.state_dict()}, tmp_path / 'w.pt')
    wanted = plain(
        f'{FROM}:semantic', tmp_path / 'a.onnx', size=(32, 32), weights=tmp_path / 'w.pt'
    )
    scores = outputs_of(export(wanted).path, random_images((1, 3, 32, 32)))['output0']
    np.testing.assert_array_equal(scores.reshape(3, -1).T, [[1, 2, 3]] * 256)


@pytest.mark.parametrize(
    ('factory', 'words'),
    [
        (f'{FROM}:nothing', 'gives int'),
        (f'{FROM}:broken', 'no such configuration'),
        (f'{FROM}:gone', 'gone'),
        ('no.such.module:f', 'No module'),
        (f'{FROM}:chance', 'differs from the original'),
    ],
)
def test_what_cannot_be_exported(torch, tmp_path, factory, words):
    with pytest.raises(ExportError, match=words):
        export(plain(factory, tmp_path / 'a.onnx', size=(32, 32)))


@pytest.mark.parametrize('content', [b'garbage', b''])
def test_weights_that_are_none(torch, tmp_path, content):
    (tmp_path / 'w.pt').write_bytes(content)
    with pytest.raises(ExportError, match='no file of plain weights'):
        torch_module.load_module(f'{FROM}:semantic', tmp_path / 'w.pt')


def test_weights_of_another_network(torch, tmp_path):
    torch.save({'other': torch.zeros(2)}, tmp_path / 'w.pt')
    with pytest.raises(ExportError, match='not the weights of this network'):
        torch_module.load_module(f'{FROM}:semantic', tmp_path / 'w.pt')


def test_weights_are_never_executed(torch, tmp_path):
    """A pickled module could run anything; only plain tensors are read."""
    from exporting.small_networks import semantic as make

    torch.save(make(), tmp_path / 'w.pt')
    with pytest.raises(ExportError, match='state_dict'):
        torch_module.load_module(f'{FROM}:semantic', tmp_path / 'w.pt')


def test_a_module_needs_a_size(torch, tmp_path):
    with pytest.raises(ExportError, match='--size'):
        export(plain(f'{FROM}:semantic', tmp_path / 'a.onnx'))
