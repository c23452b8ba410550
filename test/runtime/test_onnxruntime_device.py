"""What can be said of onnxruntime on the GPU without one; the rest is marked `gpu`."""

from types import SimpleNamespace

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from networks import write_constant_network
from on_stand_in import stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.errors import (
    BackendUnavailableError,
    GpuMemoryError,
    InferenceError,
    ModelFileError,
)
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.onnxruntime_device import CUDA, check_shape, shared_session
from trt_perception.runtime.onnxruntime_library import execution_providers
from trt_perception.tensor_spec import TensorSpec

IMAGES = TensorSpec('images', np.dtype(np.float32), (-1, 3, 8, 8))
FIXED = TensorSpec('images', np.dtype(np.float32), (1, 3, 8, 8))


@pytest.fixture
def owner():
    with stand_in_owner(StandInDriver()) as owner:
        yield owner


def open_file(owner, path):
    owner.call(lambda gpu: shared_session(path).open(gpu, gpu.stream()) and None)


@pytest.mark.skipif(CUDA in execution_providers(), reason='there is a CUDA provider here')
def test_without_the_provider_the_remedy_is_named(owner, tmp_path):
    outputs = {'output0': np.zeros((6, 8), np.float32)}
    path = write_constant_network(tmp_path / 'net.onnx', outputs)
    with pytest.raises(BackendUnavailableError, match='onnxruntime-gpu'):
        open_file(owner, path)


FAILURES = [
    (RuntimeError('CUDA failure 35: driver version is insufficient'), BackendUnavailableError),
    (RuntimeError('CUDA failure 100: no CUDA-capable device is detected'), BackendUnavailableError),
    (RuntimeError('CUDA failure 2: out of memory ; GPU=0'), GpuMemoryError),
    (Fail('Failed to allocate memory for requested buffer of size 4096'), GpuMemoryError),
    (Fail('Load model failed: opset 99'), ModelFileError),
]


@pytest.mark.parametrize(('failure', 'error'), FAILURES, ids=[str(f) for f, _ in FAILURES])
def test_what_fails_at_loading_is_told_apart(owner, tmp_path, monkeypatch, failure, error):
    path = write_constant_network(tmp_path / 'net.onnx', {'output0': np.zeros((6, 8), np.float32)})

    def fail(*_, **options):
        assert options['enable_fallback'] == 0, 'it would go on on the CPU and print that'
        raise failure

    monkeypatch.setattr('onnxruntime.InferenceSession', fail)
    for opened in (lambda: open_file(owner, path), lambda: OnnxRuntime(path, cuda=True)):
        with pytest.raises(error, match=str(failure)):
            opened()


def test_no_room_for_a_batch_is_told_as_such(tmp_path, monkeypatch):
    path = write_constant_network(tmp_path / 'net.onnx', {'output0': np.zeros((6, 8), np.float32)})
    network = OnnxRuntime(path, threads=1)
    failure = Fail('Available memory of 1 is smaller than requested bytes of 4096')
    network._session = SimpleNamespace(run=lambda *_: (_ for _ in ()).throw(failure))
    with pytest.raises(GpuMemoryError, match=r'no room for this batch.*smaller than requested'):
        network.infer({})


def test_a_file_that_is_not_there_is_told(owner, tmp_path):
    with pytest.raises(ModelFileError, match=r'gone\.onnx'):
        open_file(owner, tmp_path / 'gone.onnx')


def test_shapes_that_fit_are_taken():
    check_shape(IMAGES, (7, 3, 8, 8))
    check_shape(FIXED, (1, 3, 8, 8))


@pytest.mark.parametrize(
    ('spec', 'shape', 'text'),
    [
        (IMAGES, (1, 3, 8), 'not'),
        (IMAGES, (1, 3, 8, 9), 'not'),
        (FIXED, (2, 3, 8, 8), r'1 image\(s\) at once'),
    ],
)
def test_shapes_that_do_not_fit_are_refused(spec, shape, text):
    with pytest.raises(InferenceError, match=text):
        check_shape(spec, shape)
