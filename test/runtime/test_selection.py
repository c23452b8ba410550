import subprocess
import sys

import numpy as np
import pytest

from networks import write_constant_network
from trt_perception.errors import BackendUnavailableError, ParameterError
from trt_perception.runtime.gpu_probes import Gpu
from trt_perception.runtime.obstacles import ENGINE_BACKENDS, NO_GPU, obstacles
from trt_perception.runtime.onnxruntime_library import execution_providers
from trt_perception.runtime.selection import choose_backend, open_runtime

A_GPU = Gpu('a GPU')
WITHOUT_CUDA = pytest.mark.skipif(
    'CUDAExecutionProvider' in execution_providers(), reason='the CUDA provider is installed'
)


@WITHOUT_CUDA
def test_auto_says_what_it_chose_and_why_not_the_better_one(monkeypatch):
    monkeypatch.setattr('trt_perception.runtime.obstacles.cuda_gpus', lambda: [A_GPU])
    choice = choose_backend('auto', without={'tensorrt': 'it is on fire'})
    assert choice.backend == 'onnxruntime-cpu'
    assert 'not tensorrt: it is on fire; ' in choice.reason
    assert 'not onnxruntime-cuda' in choice.reason
    assert 'pip install onnxruntime-gpu' in choice.reason


@WITHOUT_CUDA
def test_without_a_gpu_nothing_is_said_of_how_to_install_what_needs_one(monkeypatch):
    """Each node logs it at each start."""
    monkeypatch.setattr('trt_perception.runtime.obstacles.cuda_gpus', list)
    assert choose_backend('auto').reason == f'{NO_GPU}; onnxruntime-cpu is present'
    choice = choose_backend('auto', without={'tensorrt': 'it is on fire'})
    assert choice.reason == (f'not tensorrt: it is on fire; {NO_GPU}; onnxruntime-cpu is present')


def test_a_backend_can_be_requested_by_name():
    choice = choose_backend('onnxruntime-cpu')
    assert (choice.backend, choice.reason) == ('onnxruntime-cpu', 'requested by name')


@WITHOUT_CUDA
def test_a_missing_backend_is_never_replaced_silently():
    with pytest.raises(BackendUnavailableError, match='pip install onnxruntime-gpu'):
        choose_backend('onnxruntime-cuda')


def test_an_unknown_backend_lists_those_known():
    with pytest.raises(ParameterError, match=r'auto.*onnxruntime-cpu'):
        choose_backend('abacus')


def test_an_unknown_precision_lists_those_known(tmp_path):
    with pytest.raises(ParameterError, match='fp32'):
        open_runtime(tmp_path / 'net.onnx', precision='int7')


def test_opens_what_it_chose(tmp_path):
    path = write_constant_network(tmp_path / 'net.onnx', {'out': np.ones(2, np.float32)})
    runtime, choice = open_runtime(path, backend='auto', threads=1)
    assert runtime.backend == choice.backend
    runtime.close()


def test_without_onnxruntime_the_error_names_the_extra():
    code = (
        'import sys; sys.modules["onnxruntime"] = None\n'
        'from trt_perception.runtime.selection import choose_backend\n'
        'choose_backend("auto")'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'BackendUnavailableError' in done.stderr
    assert 'trt_perception[onnxruntime]' in done.stderr


def without_engines():
    return all(obstacles(backend) for backend in ENGINE_BACKENDS)


@pytest.mark.parametrize('precision', ['fp16', 'int8'])
def test_a_reduced_precision_needs_an_engine_and_says_what_lacks(precision):
    with pytest.raises(ParameterError, match='runs the network as its file has it, in fp32'):
        choose_backend('onnxruntime-cpu', precision)
    if not without_engines():
        pytest.skip('engines can be executed here')
    with pytest.raises(BackendUnavailableError, match=r'not tensorrt: .*precision fp32 runs'):
        choose_backend('auto', precision)


def test_a_backend_that_failed_is_passed_over_with_its_reason():
    choice = choose_backend('auto', without={'tensorrt': 'it is on fire', 'tensorrt-rtx': ''})
    assert 'not tensorrt: it is on fire' in choice.reason
    assert 'tensorrt-rtx' not in choice.reason


def test_an_engine_is_never_opened_from_an_onnx_file(tmp_path):
    for arguments in ({'backend': 'tensorrt'}, {'precision': 'int8'}):
        with pytest.raises((BackendUnavailableError, ParameterError)):
            open_runtime(tmp_path / 'net.onnx', **arguments)
