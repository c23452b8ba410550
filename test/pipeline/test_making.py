"""Which pipeline a network gets, and what its reason says."""

import gc
import sys

import numpy as np
import pytest

from networks import write_detector
from on_stand_in import CpuStages, network_on
from stand_in_driver import StandInDriver
from trt_perception.errors import (
    GpuMemoryError,
    InferenceError,
    KernelError,
    MissingDependencyError,
    ModelOutputError,
    ParameterError,
)
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.pipeline.host_frames import HostFramesPipeline
from trt_perception.pipeline.making import make_pipeline
from trt_perception.pipeline.perception import GpuUse, PerceptionPipeline
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.selection import BackendChoice, telling_frames

CHOICE = BackendChoice('onnxruntime-cuda', 'requested by name')


@pytest.fixture
def spec(tmp_path):
    return load_model_spec(write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9]], ('car',)))


@pytest.fixture
def driver():
    driver = StandInDriver()
    yield driver
    gc.collect()
    assert not any(driver.left().values()), driver.left()


def found(pipeline):
    image = np.full((48, 64, 3), 90, np.uint8)
    return len(pipeline.process([Frame.from_bgr(image)])[0].result)


def test_a_network_on_the_cpu_gets_the_pipeline_on_the_cpu(spec):
    pipeline = make_pipeline(spec, OnnxRuntime(spec.onnx, threads=1), CHOICE)
    assert type(pipeline) is PerceptionPipeline
    assert pipeline.choice is CHOICE


def test_a_network_on_the_gpu_keeps_frames_there(spec, driver):
    pipeline = make_pipeline(
        spec, network_on(driver, spec.onnx), CHOICE, GpuUse(overlap=True), CpuStages
    )
    assert type(pipeline) is DevicePipeline
    assert pipeline.choice.reason == 'requested by name; frames stay on the GPU'
    assert found(pipeline) == 1
    pipeline.close()


def uncompiled(error):
    """Stages of kernels that cannot be compiled."""

    def refuse(*_):
        raise error('no compiler')

    class Uncompiled(CpuStages):
        def letterbox(self, spec, dtype):
            letterbox = super().letterbox(spec, dtype)
            letterbox.enqueue = refuse
            return letterbox

    return Uncompiled


@pytest.mark.parametrize('error', [MissingDependencyError, KernelError])
def test_without_kernels_frames_are_prepared_on_the_cpu(spec, driver, error):
    network = network_on(driver, spec.onnx)
    pipeline = make_pipeline(spec, network, CHOICE, make_stages=uncompiled(error))
    assert type(pipeline) is HostFramesPipeline
    assert 'frames are prepared on the CPU: no compiler' in pipeline.choice.reason
    assert found(pipeline) == 1
    pipeline.close()


@pytest.mark.parametrize('error', [ModelOutputError, InferenceError])
def test_what_fails_closes_the_network(spec, driver, error):
    class Failing(CpuStages):
        def letterbox(self, spec, dtype):
            raise error('no compiler')

    with pytest.raises(error):
        make_pipeline(spec, network_on(driver, spec.onnx), CHOICE, make_stages=Failing)


@pytest.mark.parametrize('cpu_fallback', [False, True])
def test_a_cpu_that_could_not_go_on_is_told_before_the_gpu_is_lost(
    spec, driver, monkeypatch, cpu_fallback
):
    network = network_on(driver, spec.onnx)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    use = GpuUse(cpu_fallback=cpu_fallback)
    if cpu_fallback:
        with pytest.raises(ParameterError, match=r'cpu_fallback: .*onnxruntime is not installed'):
            make_pipeline(spec, network, CHOICE, use, CpuStages)
    else:
        make_pipeline(spec, network, CHOICE, use, CpuStages).close()


def test_memory_that_others_hold_is_told_and_nothing_is_left(spec, driver):
    network = network_on(driver, spec.onnx)
    driver.others = driver.total
    with pytest.raises(GpuMemoryError, match=r'0\.0 MiB of .* are free.*nvidia-smi'):
        make_pipeline(spec, network, CHOICE, make_stages=CpuStages)


def test_where_frames_are_is_told_once():
    told = telling_frames(telling_frames(CHOICE, 'stay on the GPU'), 'are prepared on the CPU')
    assert told.reason == 'requested by name; frames are prepared on the CPU'
