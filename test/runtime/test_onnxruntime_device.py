"""What can be said of onnxruntime on the GPU without one; the rest is marked `gpu`."""

import numpy as np
import pytest

from networks import write_constant_network
from on_stand_in import stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.errors import BackendUnavailableError, InferenceError, ModelFileError
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
