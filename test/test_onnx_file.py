import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from family_networks import write_family
from networks import write_constant_network
from trt_perception.errors import ModelFileError
from trt_perception.model_store import list_models
from trt_perception.onnx_file import parse_model, read_onnx


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


def described_by_the_library(path):
    """Opset, tensors, metadata and operators, read by onnx itself."""
    model = parse_model(path)
    weights = {tensor.name for tensor in model.graph.initializer}

    def tensors(values):
        found = []
        for value in values:
            kind = value.type.tensor_type
            shape = [d.dim_value if d.HasField('dim_value') else -1 for d in kind.shape.dim]
            number = kind.elem_type
            dtype = helper.tensor_dtype_to_np_dtype(number) if number else np.dtype(np.void)
            found.append((value.name, tuple(shape), dtype))
        return found

    return (
        max((entry.version for entry in model.opset_import if not entry.domain), default=0),
        tensors(value for value in model.graph.input if value.name not in weights),
        tensors(model.graph.output),
        {entry.key: entry.value for entry in model.metadata_props},
        {node.op_type for node in model.graph.node},
    )


def described(path):
    file = read_onnx(path)

    def tensors(values):
        return [(tensor.name, tensor.shape, tensor.dtype) for tensor in values]

    return (
        file.opset,
        tensors(file.inputs),
        tensors(file.outputs),
        file.metadata,
        file.operator_types,
    )


@pytest.mark.parametrize('family', ['yolov8', 'yolov10', 'rtdetr', 'unet'])
def test_a_network_is_what_the_library_says(tmp_path, family):
    path = write_family(tmp_path / 'net.onnx', family)
    assert described(path) == described_by_the_library(path)


def test_the_models_that_come_along_are_what_the_library_says():
    files = [model.with_suffix('.onnx') for model in list_models()]
    assert files
    for file in files:
        assert described(file) == described_by_the_library(file)


names = st.text(min_size=1, max_size=12)
values = st.builds(
    helper.make_tensor_value_info,
    names,
    st.sampled_from(sorted(set(TensorProto.DataType.values()) - {TensorProto.UNDEFINED})),
    st.lists(st.none() | st.text(max_size=5) | st.integers(-1, 2**40), max_size=5),
)


@given(
    inputs=st.lists(values, min_size=1, max_size=4),
    outputs=st.lists(values, min_size=1, max_size=4),
    metadata=st.dictionaries(names, st.text(max_size=40), max_size=4),
    opset=st.integers(1, 30),
    weights=st.integers(0, 2),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph_is_what_the_library_says(tmp_path, inputs, outputs, metadata, opset, weights):
    held = [helper.make_tensor(value.name, 1, [1], [0.5]) for value in inputs[1 : 1 + weights]]
    node = helper.make_node('Loop', [inputs[0].name], [outputs[0].name], alpha=[0.5, 1.5])
    graph = helper.make_graph([node], 'any', inputs, outputs, held)
    opsets = [helper.make_opsetid('', opset), helper.make_opsetid('com.example', 99)]
    model = helper.make_model(graph, opset_imports=opsets)
    helper.set_model_props(model, metadata)
    path = tmp_path / 'any.onnx'
    path.write_bytes(model.SerializeToString())
    if {value.name for value in inputs} <= {tensor.name for tensor in held}:
        return  # every input is a weight: no network
    assert described(path) == described_by_the_library(path)


def test_reading_needs_no_library(network):
    path = network({'task': 'detect'})
    program = (
        'import sys; sys.modules["onnx"] = None; from pathlib import Path\n'
        'from trt_perception.onnx_file import read_onnx\n'
        'print(read_onnx(Path(sys.argv[1])).opset)'
    )
    done = subprocess.run(
        [sys.executable, '-c', program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '17'
