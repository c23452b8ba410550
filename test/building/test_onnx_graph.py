"""Loading of ONNX files for the builder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trt_perception.building import onnx_graph
from trt_perception.building.onnx_graph import graph_digest, load_graph, opset_of, raise_opset
from trt_perception.errors import ModelFileError

FLOAT = TensorProto.FLOAT
node = helper.make_node


def model_of(nodes, weights=(), *, opset=17, kind=FLOAT, inputs=('x',), outputs=('y',)):
    def value(name):
        return helper.make_tensor_value_info(name, kind, [1, 4])

    graph = helper.make_graph(
        nodes, 'g', [value(n) for n in inputs], [value(n) for n in outputs], list(weights)
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8)


def saved(folder: Path, model: onnx.ModelProto, name: str = 'net.onnx') -> Path:
    onnx.save(model, str(folder / name))
    return folder / name


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A network whose weights lie in weights.bin."""
    weights = [numpy_helper.from_array(np.arange(400, dtype=np.float32).reshape(100, 4), 'w')]
    model = model_of([node('Gemm', ['x', 'w'], ['y'], 'gemm', transB=1)], weights)
    onnx.save(
        model,
        str(tmp_path / 'net.onnx'),
        save_as_external_data=True,
        location='weights.bin',
        size_threshold=0,
    )
    return tmp_path / 'net.onnx'


def test_an_empty_file_and_an_empty_graph(tmp_path: Path):
    (tmp_path / 'net.onnx').write_bytes(b'')
    with pytest.raises(ModelFileError, match='0 nodes'):
        load_graph(tmp_path / 'net.onnx')
    with pytest.raises(ModelFileError, match='0 nodes'):
        load_graph(saved(tmp_path, model_of([])))
    with pytest.raises(ModelFileError, match='0 outputs'):
        load_graph(saved(tmp_path, model_of([node('Relu', ['x'], ['y'])], outputs=())))
    with pytest.raises(ModelFileError, match='no such ONNX file'):
        load_graph(tmp_path / 'none.onnx')


def test_nodes_get_names_of_their_own(tmp_path: Path):
    nodes = [
        node('Relu', ['x'], ['a']),
        node('Relu', ['a'], ['b'], 'twin'),
        node('Relu', ['b'], ['c'], 'twin'),
        node('Relu', ['c'], ['y'], 'kept'),
    ]
    path = saved(tmp_path, model_of(nodes))
    names = [n.name for n in load_graph(path).graph.node]
    assert names == ['Relu_a', 'twin_b', 'twin_c', 'kept']
    assert names == [n.name for n in load_graph(path).graph.node]


def test_nodes_are_sorted(tmp_path: Path):
    nodes = [node('Relu', ['a'], ['y'], 'second'), node('Relu', ['x'], ['a'], 'first')]
    loaded = load_graph(saved(tmp_path, model_of(nodes)))
    assert [n.name for n in loaded.graph.node] == ['first', 'second']


def test_constants_become_initialisers(tmp_path: Path):
    one = numpy_helper.from_array(np.ones(4, np.float32))
    nodes = [
        node('Constant', [], ['c'], value=one),
        node('Identity', ['c'], ['d']),
        node('Constant', [], ['e'], value_floats=[1.0, 2.0, 3.0, 4.0]),
        node('Constant', [], ['k'], value=one),
        node('Add', ['x', 'd'], ['a']),
        node('Add', ['a', 'e'], ['y']),
    ]
    loaded = load_graph(saved(tmp_path, model_of(nodes, outputs=('y', 'k'))))
    assert [n.op_type for n in loaded.graph.node] == ['Constant', 'Add', 'Add']
    values = {t.name: numpy_helper.to_array(t).tolist() for t in loaded.graph.initializer}
    assert values == {'c': [1] * 4, 'd': [1] * 4, 'e': [1, 2, 3, 4]}
    onnx.checker.check_model(loaded)


@pytest.mark.parametrize(
    ('nodes', 'words'),
    [
        ([node('Relu', ['nowhere'], ['y'], 'r')], "node r reads tensor 'nowhere'"),
        ([node('Add', ['x', 'b'], ['a']), node('Add', ['a', 'x'], ['b'])], 'depends on itself'),
        ([node('Relu', ['x'], ['y']), node('Tanh', ['x'], ['y'])], "'y' is written more than"),
        ([node('Cast', ['x'], ['y'], to=TensorProto.DOUBLE)], 'float64, among them y'),
    ],
)
def test_graphs_that_are_none(tmp_path: Path, nodes, words: str):
    with pytest.raises(ModelFileError, match=words):
        load_graph(saved(tmp_path, model_of(nodes)))


def test_old_operators_and_float64_are_refused(tmp_path: Path):
    relu = [node('Relu', ['x'], ['y'])]
    with pytest.raises(ModelFileError, match='opset 10 is too old'):
        load_graph(saved(tmp_path, model_of(relu, opset=10)))
    with pytest.raises(ModelFileError, match='float64'):
        load_graph(saved(tmp_path, model_of(relu, kind=TensorProto.DOUBLE)))


def test_too_large_a_model_is_refused(tmp_path: Path):
    path = tmp_path / 'huge.onnx'
    with path.open('wb') as file:
        file.truncate(2**31)  # takes no room on the disk
    with pytest.raises(ModelFileError, match=r'2.0 GiB; an ONNX file holds at most 2 GiB'):
        load_graph(path)


def test_too_much_external_data_is_refused(external: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_graph, 'MOST_BYTES', 1000)
    with pytest.raises(ModelFileError, match='2 GiB'):
        load_graph(external)


def test_the_operator_set_is_raised(tmp_path: Path):
    loaded = load_graph(saved(tmp_path, model_of([node('Relu', ['x'], ['y'], 'r')], opset=13)))
    raised = raise_opset(loaded, 19, 'net')
    assert opset_of(raised) == 19
    assert [n.name for n in raised.graph.node] == ['r']
    assert raise_opset(raised, 17, 'net') is raised


def test_external_data_is_loaded_and_hashed(external: Path):
    model = load_graph(external)
    assert numpy_helper.to_array(model.graph.initializer[0])[99, 3] == 399
    before = graph_digest(external)
    data = bytearray((external.parent / 'weights.bin').read_bytes())
    data[100] ^= 1
    (external.parent / 'weights.bin').write_bytes(data)
    assert graph_digest(external) != before


def test_external_data_that_is_missing_or_cut_off(external: Path):
    data = external.parent / 'weights.bin'
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match='1599 bytes, but 1600'):
        load_graph(external)
    data.unlink()
    for read in (load_graph, graph_digest):
        with pytest.raises(ModelFileError, match=r'weights\.bin is missing'):
            read(external)


@pytest.mark.parametrize('location', ['../secret.bin', '/etc/passwd', 'sub/../../secret.bin'])
def test_external_data_outside_the_folder_is_refused(external: Path, location: str):
    model = onnx.load(str(external), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == 'location':
            entry.value = location
    external.write_bytes(model.SerializeToString())
    for read in (load_graph, graph_digest):
        with pytest.raises(ModelFileError, match='outside the folder'):
            read(external)


def test_a_link_out_of_the_folder_is_refused(external: Path, tmp_path_factory):
    target = tmp_path_factory.mktemp('elsewhere') / 'weights.bin'
    (external.parent / 'weights.bin').rename(target)
    (external.parent / 'weights.bin').symlink_to(target)
    with pytest.raises(ModelFileError, match='outside the folder'):
        load_graph(external)
