import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from networks import write_constant_network
from trt_perception.errors import (
    BackendUnavailableError,
    InferenceError,
    ModelFileError,
    ParameterError,
)
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.onnxruntime_library import execution_providers

VALUE = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def path(tmp_path):
    return write_constant_network(tmp_path / 'net.onnx', {'out': VALUE})


def test_describes_the_network(path):
    runtime = OnnxRuntime(path)
    assert (runtime.backend, runtime.precision) == ('onnxruntime-cpu', 'fp32')
    assert [(t.name, t.shape, t.dtype) for t in runtime.inputs] == [
        ('images', (-1, 3, 48, 64), np.float32)
    ]
    assert [(t.name, t.shape) for t in runtime.outputs] == [('out', (-1, 2, 3))]


@pytest.mark.parametrize('batch', [1, 3])
def test_runs_a_batch(path, batch):
    outputs = OnnxRuntime(path, threads=1).infer(
        {'images': np.ones((batch, 3, 48, 64), np.float32)}
    )
    assert np.array_equal(outputs['out'], np.stack([VALUE] * batch))


def test_the_fingerprint_is_that_of_the_file(path, tmp_path):
    other = write_constant_network(tmp_path / 'other.onnx', {'out': VALUE + 1})
    expected = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert OnnxRuntime(path).fingerprint == expected
    assert OnnxRuntime(other).fingerprint != expected


def test_a_wrong_input_is_an_inference_error(path):
    with pytest.raises(InferenceError, match='onnxruntime failed'):
        OnnxRuntime(path).infer({'images': np.ones((1, 3, 8, 8), np.float32)})


def test_a_closed_network_says_so(path):
    runtime = OnnxRuntime(path)
    runtime.close()
    runtime.close()
    with pytest.raises(InferenceError, match='closed'):
        runtime.infer({'images': np.ones((1, 3, 48, 64), np.float32)})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r'gone\.onnx'):
        OnnxRuntime(tmp_path / 'gone.onnx')


def test_an_unknown_operator_is_named(tmp_path):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node('Teleport', ['images'], ['out'], 'beam_me_up')],
        'g',
        [value('images', TensorProto.FLOAT, [1, 3, 8, 8])],
        [value('out', TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    path = tmp_path / 'odd.onnx'
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, str(path))
    with pytest.raises(ModelFileError, match=r'odd\.onnx.*Teleport'):
        OnnxRuntime(path)


def test_a_file_that_cannot_be_loaded_prints_nothing(tmp_path, capfd):
    """Standard output belongs to the program, which may print JSON there."""
    empty = {'answer': np.zeros((0, 3), np.float32)}
    path = write_constant_network(tmp_path / 'net.onnx', empty)
    with pytest.raises(ModelFileError, match='answer'):
        OnnxRuntime(path)
    assert capfd.readouterr().out == ''


def test_cuda_is_refused_where_it_is_missing(path):
    if 'CUDAExecutionProvider' in execution_providers():
        pytest.skip('the CUDA provider is installed here')
    with pytest.raises((BackendUnavailableError, ModelFileError), match='CUDA'):
        OnnxRuntime(path, cuda=True)


@pytest.mark.parametrize('threads', [0, 1025, 10**12])
def test_an_absurd_number_of_threads_is_refused(path, threads):
    with pytest.raises(ParameterError, match=r'1\.\.1024'):
        OnnxRuntime(path, threads=threads)
