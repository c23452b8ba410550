"""CUDA graphs by cuda-bindings, on a stand-in for them."""

import pytest

from on_stand_in import stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.errors import InferenceError
from trt_perception.gpu.graphs import CudaGraph


class StandInBindings:
    """Records the calls; as cuda.bindings.driver they return a status and values."""

    class CUstreamCaptureMode:
        CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1

    def __init__(self, failing=''):
        self.calls = []
        self._failing = failing

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            status = 1 if name == self._failing else 0
            values = {'cuStreamEndCapture': ('graph',), 'cuGraphInstantiate': ('run',)}
            return (status, *values.get(name, ()))

        return call


@pytest.fixture
def stream():
    driver = StandInDriver()
    with stand_in_owner(driver) as owner:
        held = [owner.call(lambda gpu: gpu.stream())]
        yield held[0]
        held.clear()


def test_work_is_recorded_once_and_launched_often(stream):
    bindings, done = StandInBindings(), []
    graph = CudaGraph(stream, lambda: done.append(1), bindings)
    graph.launch()
    graph.launch()
    graph.close()
    graph.close()
    assert done == [1]
    assert bindings.calls == [
        *('cuStreamBeginCapture', 'cuStreamEndCapture', 'cuGraphInstantiate', 'cuGraphDestroy'),
        *('cuGraphLaunch', 'cuGraphLaunch', 'cuGraphExecDestroy'),
    ]


def test_a_capture_is_ended_when_the_work_fails(stream):
    bindings = StandInBindings()
    with pytest.raises(ZeroDivisionError):
        CudaGraph(stream, lambda: 1 // 0, bindings)
    assert bindings.calls == ['cuStreamBeginCapture', 'cuStreamEndCapture']


@pytest.mark.parametrize(
    'failing', ['cuStreamBeginCapture', 'cuStreamEndCapture', 'cuGraphInstantiate']
)
def test_what_cannot_be_recorded_is_told(stream, failing):
    bindings = StandInBindings(failing)
    with pytest.raises(InferenceError, match='CUDA graph'):
        CudaGraph(stream, lambda: None, bindings)
    if failing == 'cuGraphInstantiate':
        assert bindings.calls[-1] == 'cuGraphDestroy'


def test_a_launch_that_fails_is_told(stream):
    graph = CudaGraph(stream, lambda: None, StandInBindings('cuGraphLaunch'))
    with pytest.raises(InferenceError):
        graph.launch()
