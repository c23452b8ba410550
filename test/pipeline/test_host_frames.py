"""A network on the GPU whose frames are prepared on the CPU, when the GPU is lost."""

import pytest

from networks import write_detector
from on_stand_in import CHOICE, grey, lose, network_on
from trt_perception.errors import DeviceLostError, InferenceError, ModelFileError
from trt_perception.model_spec import load_model_spec
from trt_perception.pipeline.host_frames import HostFramesPipeline
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime


@pytest.fixture
def opened(driver, tmp_path):
    """Opens the pipeline of a detector; `on_cpu` is given its ONNX file."""
    spec = load_model_spec(write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9]], ('car',)))
    made = []

    def open_it(on_cpu=None):
        network = network_on(driver, spec.onnx)
        made.append(
            HostFramesPipeline(spec, network, CHOICE, on_cpu and (lambda: on_cpu(spec.onnx)))
        )
        return made[-1]

    yield open_it
    for pipeline in made:
        pipeline.close()


def found(pipeline):
    return len(pipeline.process([grey()])[0].result)


def test_no_frames_no_results(opened):
    assert opened().process([]) == []


@pytest.mark.parametrize('call', ['enqueue', 'memcpy_htod_async', 'Stream.synchronize'])
def test_lost_once_the_network_is_loaded_anew(opened, driver, call):
    pipeline = opened()
    assert found(pipeline) == 1
    lose(driver, call)
    with pytest.raises(InferenceError, match=r'illegal memory.*set up anew'):
        found(pipeline)
    assert found(pipeline) == 1
    assert driver.resets == 1


def test_lost_again_it_is_told_with_each_frame(opened, driver):
    pipeline = opened()
    for _ in range(2):
        lose(driver, 'enqueue')
        with pytest.raises(InferenceError):
            found(pipeline)
    for _ in range(2):
        with pytest.raises(DeviceLostError, match='illegal memory'):
            found(pipeline)
    assert driver.retained == 0


def test_lost_again_the_cpu_goes_on_where_that_is_allowed(opened, driver):
    pipeline = opened(OnnxRuntime)
    for text in ('set up anew', 'goes on on the CPU'):
        lose(driver, 'enqueue')
        with pytest.raises(InferenceError, match=text):
            found(pipeline)
    assert found(pipeline) == 1
    assert pipeline.choice.backend == pipeline.runtime.backend == 'onnxruntime-cpu'
    assert 'lost' in pipeline.choice.reason


@pytest.mark.parametrize('call', ['retain_primary_context', 'Stream'])
def test_where_it_cannot_be_loaded_anew_the_reason_is_told(opened, driver, call):
    pipeline = opened()
    lose(driver, 'enqueue')
    driver.after_reset = lambda: driver.fail(call, driver.LogicError('no more'))
    for _ in range(2):
        with pytest.raises(DeviceLostError, match=r'anew failed: .*no more'):
            found(pipeline)


def test_a_cpu_that_cannot_go_on_either_is_told(opened, driver):
    def refuse(path):
        raise ModelFileError('the CPU has no such operator')

    pipeline = opened(refuse)
    for _ in range(2):
        lose(driver, 'enqueue')
        with pytest.raises(InferenceError):
            found(pipeline)
    with pytest.raises(DeviceLostError, match='no such operator'):
        found(pipeline)
