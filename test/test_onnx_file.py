import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from networks import write_constant_network
from trt_perception.errors import ModelFileError
from trt_perception.onnx_file import read_onnx


@pytest.fixture
def network(tmp_path):
    def write(metadata):
        return write_constant_network(
            tmp_path / 'net.onnx', {'out': np.zeros((3, 2), np.float32)}, metadata=metadata
        )

    return write


def test_reads_tensors_opset_and_metadata(network):
    file = read_onnx(network({'task': 'detect'}))
    assert file.opset == 17
    assert [(t.name, t.shape, t.dtype) for t in file.inputs] == [
        ('images', (-1, 3, 48, 64), np.float32)
    ]
    assert [(t.name, t.shape) for t in file.outputs] == [('out', (-1, 3, 2))]
    assert file.metadata == {'task': 'detect'}
    assert file.input_size() == (64, 48)


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (None, ()),
        ('["car", "dog"]', ('car', 'dog')),
        ("['car', 'dog']", ('car', 'dog')),
        ("{0: 'car', 1: 'dog'}", ('car', 'dog')),
        ('{"10": "k", "2": "c"}', ('c', 'k')),
    ],
)
def test_reads_class_names_in_every_common_form(network, names, expected):
    file = read_onnx(network({} if names is None else {'names': names}))
    assert file.class_names() == expected


@pytest.mark.parametrize('names', ['car, dog', '[1, 2]', '{"a": "car"}', '7', '[' * 10000])
def test_refuses_class_names_it_does_not_understand(network, names):
    with pytest.raises(ModelFileError, match='names'):
        read_onnx(network({'names': names})).class_names()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r'gone\.onnx: no such ONNX file'):
        read_onnx(tmp_path / 'gone.onnx')


@pytest.mark.parametrize('content', [b'', b'hello, this is no network', b'\x00' * 64])
def test_refuses_what_is_not_onnx(tmp_path, content):
    path = tmp_path / 'net.onnx'
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r'net\.onnx'):
        read_onnx(path)


def test_refuses_what_is_larger_than_protobuf_allows_before_reading_it(tmp_path):
    path = tmp_path / 'net.onnx'
    with path.open('wb') as file:
        file.truncate(3 << 30)  # takes no room on the disk
    with pytest.raises(ModelFileError, match=r'net\.onnx: 3\.0 GiB; .* at most 2 GiB'):
        read_onnx(path)


def test_refuses_a_truncated_file_at_every_length(network):
    path = network({'task': 'detect'})
    whole = path.read_bytes()
    accepted = []
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        try:
            read_onnx(path)
        except ModelFileError:
            continue
        accepted.append(length)
    # What is cut off behind the last tensor still names a whole graph.
    assert all(length > len(whole) - 40 for length in accepted)


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match='cannot be read'):
        read_onnx(tmp_path)


@pytest.mark.parametrize(
    ('nodes', 'expected'),
    [
        ([('Softmax', ['x'], ['a'])], 'Softmax'),
        ([('Sigmoid', ['x'], ['b']), ('Flatten', ['b'], ['a'])], 'Sigmoid'),
        ([('Relu', ['x'], ['b']), ('Relu', ['x'], ['c']), ('Concat', ['b', 'c'], ['a'])], 'Relu'),
        ([('Relu', ['x'], ['b']), ('Neg', ['x'], ['c']), ('Concat', ['b', 'c'], ['a'])], None),
        ([('Identity', ['x'], ['a'])], None),
    ],
)
def test_the_operator_behind_an_output(tmp_path, nodes, expected):
    made = [
        helper.make_node(kind, inputs, outputs, **({'axis': 1} if kind == 'Concat' else {}))
        for kind, inputs, outputs in nodes
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None]) for name in ('x', 'a')
    ]
    graph = helper.make_graph(made, 'tail', values[:1], values[1:])
    onnx.save(helper.make_model(graph), str(tmp_path / 'tail.onnx'))
    assert read_onnx(tmp_path / 'tail.onnx').operators.get('a') == expected
