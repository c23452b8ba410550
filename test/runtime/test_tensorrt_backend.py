"""TensorRT's runtime on a stand-in for its API; see docs/verification.md for what that proves."""

import contextlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from on_stand_in import stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.errors import (
    BackendUnavailableError,
    EngineFileError,
    GpuMemoryError,
    InferenceError,
    MissingDependencyError,
    ModelFileError,
)
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.device_protocol import Profiled
from trt_perception.runtime.tensorrt_backend import TensorRTDevice, shared_engine
from trt_perception.runtime.tensorrt_engine import TensorRTEngine
from trt_perception.runtime.tensorrt_flavour import Flavour

PLAN_TEXTS = {
    'plan': 'built for compute 8.7',
    'room': 'Error Code 1: Cuda Runtime (out of memory)',
}

ADDRESSES = {'images': 256, 'output0': 512}


class StandInTensorRT:
    """A module like tensorrt with one network: images [-1, 3, 8, 8] to output0 [-1, 6].

    Attributes:
        said: calls of the execution context, in their order.
        engines: how many were deserialised.
    """

    ExecutionContextAllocationStrategy = SimpleNamespace(STATIC='static', USER_MANAGED='managed')
    TensorIOMode = SimpleNamespace(INPUT='input', OUTPUT='output')
    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE='whole')

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = range(3)

    class IProfiler:
        pass

    def __init__(self, *, refuses='', output=(-1, 6), profiles=1):
        self.profiles = profiles
        self.said = []
        self.engines = 0
        self.contexts = []
        self.refuses = refuses
        self.shapes = {'images': (-1, 3, 8, 8), 'output0': output}
        self.config = SimpleNamespace(
            cuda_graph_strategy=None,
            set_execution_context_allocation_strategy=lambda strategy: self.said.append(strategy),
        )

    def Runtime(self, logger):  # noqa: N802
        self.logger = logger
        return SimpleNamespace(deserialize_cuda_engine=self._engine)

    def nptype(self, dtype):
        if self.refuses == 'type':
            raise TypeError('no numpy type')
        return np.float32

    def _engine(self, plan):
        if self.refuses in PLAN_TEXTS:
            self.logger.log(self.ILogger.ERROR, PLAN_TEXTS[self.refuses])
            return None
        names = list(self.shapes)
        self.engines += 1
        return SimpleNamespace(
            num_io_tensors=2,
            num_optimization_profiles=self.profiles,
            device_memory_size_v2=4096,
            get_tensor_name=lambda i: names[i],
            get_tensor_dtype=lambda name: 'float',
            get_tensor_shape=lambda name: self.shapes[name],
            get_tensor_mode=lambda name: 'input' if name == 'images' else 'output',
            get_tensor_profile_shape=lambda name, p: ((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8)),
            create_execution_context=self._context,
            create_runtime_config=lambda: self.config,
        )

    def _context(self, how):
        self.said.append(('context', how))
        if self.refuses == 'context':
            return None
        if self.refuses == 'room for a context':
            self.logger.log(self.ILogger.ERROR, 'Error Code 2: OutOfMemory (Requested size was 9)')
            return None
        context = Context(self)
        self.contexts.append(context)
        return context


class Context:
    def __init__(self, trt):
        self._trt = trt
        self._batch = 1
        self.profiler = None

    def _say(self, what, *details):
        self._trt.said.append((what, *details))
        return what != self._trt.refuses

    def set_optimization_profile_async(self, profile, stream):
        return self._say('profile', profile)

    def set_device_memory(self, address, nbytes):
        self._say('scratch', address, nbytes)

    def set_input_shape(self, name, shape):
        self._batch = shape[0]
        return self._say('shape', shape)

    def get_tensor_shape(self, name):
        return tuple(self._batch if n == -1 else n for n in self._trt.shapes[name])

    def set_tensor_address(self, name, address):
        return self._say('address', name)

    def execute_async_v3(self, stream):
        if self.profiler is not None:
            self.profiler.report_layer_time('conv', 0.5)
        return self._say('execute')


@pytest.fixture
def owner():
    driver = StandInDriver()
    with stand_in_owner(driver) as owner:
        owner.driver = driver
        yield owner


def flavour(trt, name='tensorrt'):
    return Flavour(name, '10.3.0', trt)


def device_on(owner, trt, name='tensorrt', **options):
    def load(gpu):
        engine = TensorRTEngine(b'plan', flavour(trt, name), gpu)
        return TensorRTDevice(engine, 'fp16', gpu.stream(), on_close=engine.close, **options)

    return owner.call(load)


def images(batch):
    return {'images': (batch, 3, 8, 8)}


def run_once(owner, device, batch):
    def run(gpu):
        device.bind(images(batch), ADDRESSES)
        device.enqueue()

    owner.call(run)


def calls(trt, what):
    return [entry for entry in trt.said if entry[0] == what]


class Recorder:
    """Stands for CudaGraph."""

    def __init__(self, error=None):
        self.made = self.launched = self.closed = 0
        self._error = error

    def __call__(self, stream, work):
        if self._error:
            raise self._error
        work()
        self.made += 1
        return SimpleNamespace(launch=self._launch, close=self._close)

    def _launch(self):
        self.launched += 1

    def _close(self):
        self.closed += 1


def test_without_pycuda_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycuda', None)
    monkeypatch.setitem(sys.modules, 'pycuda.driver', None)
    with pytest.raises(BackendUnavailableError, match='pip install "pycuda'):
        DeviceNetwork(shared_engine(b'plan', Flavour('tensorrt', '10.3.0', None), 'fp16').open)


def test_addresses_and_shapes_are_set_once(owner):
    trt = StandInTensorRT()
    device = device_on(owner, trt, record=None)
    for _ in range(3):
        run_once(owner, device, 2)
    assert len(calls(trt, 'address')) == 2
    assert len(calls(trt, 'shape')) == 1
    assert len(calls(trt, 'execute')) == 3


def test_shapes_are_those_of_the_batch(owner):
    device = device_on(owner, StandInTensorRT())
    assert device.max_batch == 4
    shapes = owner.call(lambda gpu: device.shapes(images(3)))
    assert shapes == {'images': (3, 3, 8, 8), 'output0': (3, 6)}


@pytest.mark.parametrize('batch', [0, 5])
def test_a_batch_outside_the_profile_is_refused(owner, batch):
    device = device_on(owner, StandInTensorRT())
    with pytest.raises(InferenceError, match='images'):
        owner.call(lambda gpu: device.shapes(images(batch)))
    assert owner.call(lambda gpu: device.shapes(images(4)))['output0'] == (4, 6)


def test_the_second_run_is_recorded_and_later_ones_are_launched(owner):
    trt, record = StandInTensorRT(), Recorder()
    device = device_on(owner, trt, record=record)

    def run(gpu, batch=2, addresses=ADDRESSES):
        device.bind(images(batch), addresses)
        device.enqueue()

    for _ in range(4):
        owner.call(run)
    assert (record.made, record.launched) == (1, 3)
    assert len(calls(trt, 'execute')) == 2, 'once for itself, once to be recorded'
    for _ in range(2):
        owner.call(lambda gpu: run(gpu, batch=1))
    assert record.made == 2, 'each shape has its graph'
    owner.call(lambda gpu: run(gpu, addresses={**ADDRESSES, 'images': 1024}))
    assert record.closed == 2, 'other addresses make graphs useless'
    owner.call(lambda gpu: device.close())


def test_nothing_is_recorded_right_after_another_shape(owner):
    """TensorRT does work then that may not be recorded: it asks for a run in between."""
    trt, record = StandInTensorRT(), Recorder()
    device = device_on(owner, trt, record=record)
    for batch in (1, 2, 1, 2, 1):
        run_once(owner, device, batch)
    assert record.made == 0
    run_once(owner, device, 1)
    assert record.made == 1
    run_once(owner, device, 2)
    run_once(owner, device, 1)
    assert (record.made, record.launched) == (1, 2), 'a graph stays good for its shape'


@pytest.mark.parametrize(
    'error', [MissingDependencyError('no cuda-bindings'), InferenceError('CUDA graph: 900')]
)
def test_what_cannot_be_recorded_runs_without_a_graph(owner, error):
    trt = StandInTensorRT()
    device = device_on(owner, trt, record=Recorder(error))
    for _ in range(3):
        run_once(owner, device, 1)
    assert len(calls(trt, 'execute')) == 3


def test_tensorrt_rtx_records_for_itself(owner):
    trt, record = StandInTensorRT(), Recorder()
    device = device_on(owner, trt, 'tensorrt-rtx', record=record)
    assert trt.config.cuda_graph_strategy == 'whole'
    for _ in range(3):
        run_once(owner, device, 1)
    assert record.made == 0
    assert len(calls(trt, 'execute')) == 3


def test_workers_of_one_engine_share_weights_and_scratch_memory(owner):
    trt = StandInTensorRT()

    def load(gpu):
        engine = TensorRTEngine(b'plan', flavour(trt), gpu)
        stream = gpu.stream()
        workers = [
            TensorRTDevice(engine, 'fp16', stream, profile=i, shared_scratch=True) for i in range(3)
        ]
        return engine, workers

    engine, workers = owner.call(load)
    scratch = calls(trt, 'scratch')
    assert len(scratch) == 3
    assert len(set(scratch)) == 1
    assert scratch[0][2] == engine.scratch_bytes == 4096
    assert [entry[1] for entry in calls(trt, 'profile')] == [0, 1, 2]
    assert len(owner.driver.live) == 1
    for worker in workers:
        owner.call(lambda gpu, w=worker: w.close())
    owner.call(lambda gpu: engine.close())
    assert owner.driver.live == {}


def networks_on(owner, trt, count, name='tensorrt', **options):
    """Networks of one engine, as many as there are cameras."""
    options = {'cameras': count, **options}
    shared = shared_engine(b'plan', flavour(trt, name), 'fp16', **options)
    owner.users = 0

    def acquire():
        owner.users += 1
        return owner

    first = DeviceNetwork(shared.open, acquire, shared.stream)
    return [first, *(first.another() for _ in range(count - 1))]


def close_all(networks):
    for network in networks:
        network.close()


@pytest.mark.parametrize('name', ['tensorrt', 'tensorrt-rtx'])
def test_cameras_share_an_engine_a_stream_and_scratch_memory(owner, name):
    trt = StandInTensorRT()
    networks = networks_on(owner, trt, 3, name, context_each=True)
    assert trt.engines == 1
    assert len(trt.contexts) == 3
    assert len(set(calls(trt, 'scratch'))) == 1
    asked = [entry for entry in trt.said if entry in ('managed', ('context', 'managed'))]
    assert len(asked) == 3
    assert len(owner.driver.streams) == 1
    assert len(owner.driver.live) == 1, 'the scratch memory'
    for network in networks:
        owner.call(lambda gpu, n=network: n.place(images(2)) and n.device.enqueue())
    assert len(calls(trt, 'execute')) == 3
    networks[0].close()
    owner.call(lambda gpu: networks[1].device.enqueue())
    close_all(networks)
    assert owner.driver.live == {}


def test_contexts_that_run_at_the_same_time_share_the_weights_only(owner):
    trt = StandInTensorRT()
    networks = networks_on(owner, trt, 3, context_each=True, concurrent=True)
    assert trt.engines == 1
    assert calls(trt, 'scratch') == []
    assert calls(trt, 'context') == [('context', 'static')] * 3
    assert len(owner.driver.streams) == 3
    close_all(networks)


def test_an_engine_that_takes_batches_has_one_context_with_memory_of_its_own(owner):
    trt = StandInTensorRT()
    networks = networks_on(owner, trt, 1, cameras=4)
    assert calls(trt, 'context') == [('context', 'static')]
    assert calls(trt, 'scratch') == []
    close_all(networks)


def test_an_engine_of_one_image_shares_scratch_memory_without_being_asked(owner):
    trt = StandInTensorRT()
    trt.shapes = {'images': (1, 3, 8, 8), 'output0': (1, 6)}
    networks = networks_on(owner, trt, 4)
    assert calls(trt, 'context') == [('context', 'managed')] * 4
    assert len(set(calls(trt, 'scratch'))) == 1
    close_all(networks)


def test_contexts_take_the_profiles_of_an_engine_in_turn(owner):
    trt = StandInTensorRT(profiles=2)
    networks = networks_on(owner, trt, 3, context_each=True, concurrent=True)
    assert [entry[1] for entry in calls(trt, 'profile')] == [0, 1, 0]
    close_all(networks)


def test_no_room_for_scratch_memory_is_told_and_leaves_nothing(owner):
    owner.driver.fail('mem_alloc', owner.driver.MemoryError('cuMemAlloc failed: out of memory'))
    with pytest.raises(GpuMemoryError, match='scratch memory of the network'):
        networks_on(owner, StandInTensorRT(), 1, cameras=2, context_each=True)
    assert owner.driver.live == {}


def test_no_room_for_a_further_context_leaves_the_others(owner):
    trt = StandInTensorRT()
    [first] = networks_on(owner, trt, 1, cameras=2, context_each=True)
    trt.refuses = 'context'
    with pytest.raises(BackendUnavailableError, match='execution context'):
        first.another()
    owner.call(lambda gpu: first.place(images(1)) and first.device.enqueue())
    first.close()
    assert owner.driver.live == {}


@pytest.mark.parametrize(
    ('refuses', 'error', 'text'),
    [
        ('plan', EngineFileError, r'built for compute 8\.7.*Stand-in GPU.*cache list'),
        ('room', GpuMemoryError, r'no room for the engine.*out of memory.*nvidia-smi'),
        ('context', BackendUnavailableError, 'execution context'),
        ('room for a context', GpuMemoryError, 'no room for an execution context'),
        ('profile', InferenceError, 'profile'),
        ('type', ModelFileError, 'float32'),
    ],
)
def test_what_tensorrt_refuses_at_first_is_told(owner, refuses, error, text):
    with pytest.raises(error, match=text):
        device_on(owner, StandInTensorRT(refuses=refuses))


@pytest.mark.parametrize('refuses', ['shape', 'address', 'execute'])
def test_what_tensorrt_refuses_later_is_told(owner, refuses):
    device = device_on(owner, StandInTensorRT(refuses=refuses), record=None)
    with pytest.raises(InferenceError):
        run_once(owner, device, 1)


def test_no_room_in_mid_run_is_told_as_such(owner):
    trt = StandInTensorRT(refuses='execute')
    device = device_on(owner, trt, record=None)
    said = Context._say

    def say(context, what, *details):
        if what == 'execute':
            trt.logger.log(
                trt.ILogger.ERROR, 'Requested amount of GPU memory could not be allocated'
            )
        return said(context, what, *details)

    trt.contexts[0]._say = say.__get__(trt.contexts[0])
    with pytest.raises(GpuMemoryError, match='no room for this batch'):
        run_once(owner, device, 1)
    trt.refuses = ''
    run_once(owner, device, 1)


def test_what_tensorrt_warns_of_is_in_the_log(owner, caplog):
    trt = StandInTensorRT()
    plain = trt._engine

    def warned(plan):
        trt.logger.log(trt.ILogger.WARNING, 'an engine of a different model of device')
        return plain(plan)

    trt._engine = warned
    device_on(owner, trt)
    assert 'TensorRT 10.3.0 about the engine: an engine of a different model' in caplog.text


def test_an_output_whose_shape_depends_on_the_image_is_refused(owner):
    device = device_on(owner, StandInTensorRT(output=(1, -2)))
    with pytest.raises(ModelFileError, match='depend on the image'):
        owner.call(lambda gpu: device.shapes(images(1)))


def test_layers_are_timed(owner):
    device = device_on(owner, StandInTensorRT())
    assert isinstance(device, Profiled)
    owner.call(lambda gpu: device.bind(images(1), ADDRESSES))
    (layer,) = owner.call(lambda gpu: device.layers(5))
    assert (layer.name, layer.ms) == ('conv', 0.5)


@pytest.mark.parametrize('refuses', [None, 'execute'])
def test_after_its_layers_were_timed_a_network_runs_without_a_profiler(owner, refuses):
    """Every later run would be timed, too."""
    trt = StandInTensorRT()
    device = device_on(owner, trt)
    owner.call(lambda gpu: device.bind(images(1), ADDRESSES))
    trt.refuses = refuses
    with pytest.raises(InferenceError) if refuses else contextlib.nullcontext():
        owner.call(lambda gpu: device.layers(5))
    assert [context.profiler for context in trt.contexts] == [None]


def test_an_opened_engine_gives_everything_back(owner):
    trt = StandInTensorRT()
    network = DeviceNetwork(
        shared_engine(b'plan', flavour(trt), 'fp16').open, lambda: stand_in_owner(owner.driver)
    )
    assert network.max_batch == 4
    network.close()
    assert owner.driver.live == {}
