"""Several cameras on one network that takes one image, on a stand-in for the GPU."""

import gc
import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from on_stand_in import CHOICE, CpuDevice, CpuStages, grey, lose, stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.errors import (
    DeviceLostError,
    FrameError,
    GpuMemoryError,
    InferenceError,
    ModelFileError,
)
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.pipeline.contexts import ContextsPipeline
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.pipeline.making import make_pipeline
from trt_perception.pipeline.perception import GpuUse
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.shared_network import SharedNetwork, contexts_wanted

CAMERAS = 4


class Context(CpuDevice):
    def close(self):
        super().close()
        self.on_close()


class Shared:
    """A network of onnxruntime on the CPU that is loaded once for all contexts."""

    def __init__(self, driver, path, max_batch=1, concurrent=False):
        self.loads, self.made, self.path, self.max_batch = 0, [], path, max_batch
        self.refuse = {}
        self.driver = driver
        self.owner = None
        self.shared = SharedNetwork(self._load, self._context, concurrent=concurrent)

    def _load(self, gpu, stream):
        self.loads += 1
        return self

    def _context(self, weights, stream, number, closed):
        if number in self.refuse:
            raise self.refuse[number]
        gpu = self._gpu
        device = Context(self.path, gpu, stream)
        device.max_batch, device.on_close = self.max_batch, closed
        self.made.append(number)
        return device

    def close(self):
        self.loads -= 1

    def _open(self, gpu, stream):
        self._gpu = gpu
        try:
            return self.shared.open(gpu, stream)
        finally:
            del self._gpu

    def acquire(self):
        if self.owner is None or self.owner.lost or self.owner.users == 0:
            if self.owner is not None:
                self.owner.close()
            self.owner = stand_in_owner(self.driver)
            self.owner.users = 0
        self.owner.users += 1
        return self.owner

    def network(self):
        return DeviceNetwork(self._open, self.acquire, self.shared.stream)


def opened(driver, model, cameras=CAMERAS, *, max_batch=1, concurrent=False, **use):
    spec = load_model_spec(model)
    shared = Shared(driver, spec.onnx, max_batch, concurrent)
    use = GpuUse(cameras=cameras, **use)
    return make_pipeline(spec, shared.network(), CHOICE, use, CpuStages), shared


@pytest.fixture
def pipeline(driver, model):
    pipeline, _ = opened(driver, model)
    yield pipeline
    pipeline.close()


def test_no_frames_no_results(pipeline, driver):
    before = Counter(driver.calls)
    assert pipeline.process([]) == []
    assert [*pipeline.process_in_turn([])] == []
    assert Counter(driver.calls) == before


@pytest.mark.parametrize(
    ('max_batch', 'cameras', 'each', 'contexts'),
    [
        (None, 1, False, 1),
        (None, 4, False, 1),
        (8, 4, False, 1),
        (3, 4, False, 1),
        (1, 1, False, 1),
        (1, 4, False, 4),
        (8, 4, True, 4),
        (None, 1, True, 1),
    ],
)
def test_batches_come_first_where_the_network_takes_them(max_batch, cameras, each, contexts):
    assert contexts_wanted(max_batch, cameras, each=each) == contexts


def test_a_network_that_takes_one_image_gets_a_context_for_each_camera(driver, model):
    pipeline, shared = opened(driver, model)
    assert isinstance(pipeline, ContextsPipeline)
    assert (shared.loads, shared.made) == (1, [0, 1, 2, 3])
    assert pipeline.max_batch == CAMERAS
    assert pipeline.choice.reason == 'a test; frames stay on the GPU, on 4 execution contexts'
    pipeline.close()
    pipeline.close()
    assert shared.loads == 0


@pytest.mark.parametrize('use', [{'max_batch': 8}, {'cameras': 1}])
def test_else_it_gets_one(driver, model, use):
    pipeline, shared = opened(driver, model, **use)
    assert type(pipeline) is DevicePipeline
    assert shared.made == [0]
    pipeline.close()


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('use', [{}, {'overlap': True}, {'concurrent': True}])
def test_frames_of_all_cameras_give_what_each_gives_alone(model, seed, use):
    """Of different sizes, more than there are contexts, in any order that the events allow."""
    driver = StandInDriver(seed=seed)
    pipeline, _ = opened(driver, model, **use)
    frames = [grey(64 + 16 * n, 48 + 8 * n) for n in range(CAMERAS + 2)]
    single, _ = opened(driver, model, cameras=1)
    expected = [single.process([frame])[0].result for frame in frames]
    batches = [frames[:3], frames, frames[2:]]
    found = [one for batch in pipeline.process_all(batches) for one in batch]
    wanted = [one for batch in (expected[:3], expected, expected[2:]) for one in batch]
    for one, want in zip(found, wanted, strict=True):
        assert one.result.size == want.size
        np.testing.assert_array_equal(one.result.boxes, want.boxes)
        np.testing.assert_array_equal(one.result.class_ids, want.class_ids)
    pipeline.close()
    single.close()


@pytest.mark.parametrize(('concurrent', 'compute'), [(False, 1), (True, CAMERAS)])
def test_copies_have_streams_of_their_own(driver, model, concurrent, compute):
    pipeline, _ = opened(driver, model, concurrent=concurrent)
    assert len(driver.streams) == compute + 2 * CAMERAS
    pipeline.close()


def test_results_come_while_later_frames_are_under_way(pipeline, monkeypatch):
    submitted, finished = [], []
    plain_submit, plain_finish = DevicePipeline.submit, DevicePipeline.finish

    def submit(self, frames):
        submitted.append(self)
        return plain_submit(self, frames)

    def finish(self, begun):
        finished.append(self)
        return plain_finish(self, begun)

    monkeypatch.setattr(DevicePipeline, 'submit', submit)
    monkeypatch.setattr(DevicePipeline, 'finish', finish)
    turns = pipeline.process_in_turn([grey()] * CAMERAS)
    next(turns)
    assert (len(submitted), len(finished)) == (CAMERAS, 1)
    assert len([*turns]) == CAMERAS - 1


def test_a_bad_frame_is_refused_and_the_others_served(pipeline):
    bad = Frame(np.zeros(3, np.uint8), 48, 64, 192, 'bgr8')
    good, refused, also = pipeline.process_each([grey(), bad, grey()])
    assert isinstance(refused, FrameError)
    assert len(good.result) == len(also.result) == 2
    with pytest.raises(FrameError):
        pipeline.process([grey(), bad])
    with pytest.raises(FrameError):
        [*pipeline.process_all([[bad]])]


@pytest.mark.parametrize('call', ['launch', 'enqueue', 'memcpy_htod_async'])
def test_a_call_that_fails_costs_one_camera_one_frame(pipeline, driver, call):
    pipeline.process([grey()] * CAMERAS)
    driver.fail(call, driver.LogicError(f'{call} failed: invalid value'))
    outcomes = pipeline.process_each([grey()] * CAMERAS)
    assert [type(one) for one in outcomes].count(InferenceError) == 1
    assert all(len(one.result) == 2 for one in pipeline.process([grey()] * CAMERAS))


def test_an_image_that_does_not_fit_is_refused_and_the_others_served(pipeline, driver):
    pipeline.make_room(CAMERAS)
    driver.total = sum(size for _, size in driver.live.values()) + (1 << 20)
    outcomes = pipeline.process_each([grey(), grey(1920, 1080), grey(), grey()])
    assert [isinstance(one, GpuMemoryError) for one in outcomes] == [False, True, False, False]
    assert all(len(one.result) == 2 for one in pipeline.process([grey()] * CAMERAS))


def test_settings_hold_for_all_cameras(pipeline):
    pipeline.settings = replace(pipeline.settings, class_filter=frozenset({1}))
    for one in pipeline.process([grey()] * CAMERAS):
        assert one.result.class_ids.tolist() == [1]


def test_a_lost_gpu_is_set_up_anew_for_every_camera(driver, model):
    pipeline, shared = opened(driver, model)
    pipeline.process([grey()] * CAMERAS)
    lose(driver)
    outcomes = pipeline.process_each([grey()] * CAMERAS)
    assert all(isinstance(one, InferenceError) for one in outcomes)
    assert all('set up anew' in str(one) for one in outcomes)
    assert driver.resets == 1, 'once for all'
    assert all(len(one.result) == 2 for one in pipeline.process([grey()] * CAMERAS))
    assert Counter(shared.made) == dict.fromkeys(range(CAMERAS), 2)
    pipeline.close()


def test_lost_again_the_cpu_goes_on_for_every_camera_where_that_is_allowed(driver, model):
    pipeline, _ = opened(driver, model, cpu_fallback=True)
    for text in ('set up anew', 'goes on on the CPU'):
        lose(driver)
        outcomes = pipeline.process_each([grey()] * CAMERAS)
        assert all(text in str(one) for one in outcomes)
    assert all(len(one.result) == 2 for one in pipeline.process([grey()] * CAMERAS))
    assert pipeline.choice.backend == 'onnxruntime-cpu'
    pipeline.close()


def test_lost_again_every_camera_is_told_where_it_is_not(driver, model):
    pipeline, _ = opened(driver, model)
    lose(driver)
    pipeline.process_each([grey()] * CAMERAS)
    lose(driver)
    for _ in range(2):
        outcomes = pipeline.process_each([grey()] * CAMERAS)
        assert all(isinstance(one, DeviceLostError) for one in outcomes)
    pipeline.close()


def open_with_room_for(driver, model, contexts, **use):
    spec = load_model_spec(model)
    shared = Shared(driver, spec.onnx)
    shared.refuse[contexts] = GpuMemoryError('no room for scratch memory')
    use = GpuUse(cameras=CAMERAS, **use)
    return make_pipeline(spec, shared.network(), CHOICE, use, CpuStages)


def test_with_room_for_fewer_contexts_cameras_take_turns_and_that_is_said(driver, model):
    pipeline = open_with_room_for(driver, model, 2)
    assert pipeline.max_batch == 2
    assert 'on 2 of 4 execution contexts: no room for scratch' in pipeline.choice.reason
    assert all(len(one.result) == 2 for one in pipeline.process([grey()] * CAMERAS))
    pipeline.close()


def test_where_they_were_asked_for_it_is_an_error(driver, model):
    with pytest.raises(GpuMemoryError):
        open_with_room_for(driver, model, 2, context_each=True)


def test_any_other_failure_of_a_further_context_leaves_nothing(driver, model):
    shared = Shared(driver, load_model_spec(model).onnx)
    shared.refuse[2] = ModelFileError('not to be read any more')
    use = GpuUse(cameras=CAMERAS)
    with pytest.raises(ModelFileError):
        make_pipeline(load_model_spec(model), shared.network(), CHOICE, use, CpuStages)
    assert shared.loads == 0
    assert shared.owner.users == 0


def test_no_room_while_a_context_warms_up_frees_what_it_took(driver, model):
    spec = load_model_spec(model)
    shared = Shared(driver, spec.onnx)
    network = shared.network()
    made = []

    class Stages(CpuStages):
        def __init__(self, gpu):
            super().__init__(gpu)
            made.append(self)
            if len(made) == 3:
                driver.fail('mem_alloc', driver.MemoryError('cuMemAlloc failed: out of memory'))

    pipeline = make_pipeline(spec, network, CHOICE, GpuUse(cameras=CAMERAS), Stages)
    assert pipeline.max_batch == 2
    assert [stages.closed for stages in made] == [False, False, True]
    pipeline.close()
    assert all(stages.closed for stages in made)


def test_frames_in_memory_that_was_lent_are_not_copied_on_the_host(pipeline, driver):
    frames = []
    for _ in range(CAMERAS):
        memory = pipeline.frame_memory(48 * 64 * 3)
        memory[:] = 90
        frames.append(Frame(memory, 48, 64, 192, 'bgr8'))
    pipeline.process(frames)
    taken = driver.calls['pagelocked_empty']
    for turned in (frames, frames[::-1], [*frames[2:], grey()]):
        assert all(len(one.result) == 2 for one in pipeline.process(turned))
    pairs = zip(pipeline.contexts, frames, strict=True)
    assert all(context.has_lent(frame) for context, frame in pairs)
    assert driver.calls['pagelocked_empty'] == taken


def test_nothing_is_allocated_once_there_is_room(pipeline):
    pipeline.make_room(CAMERAS)
    before = pipeline.memory
    for count in (1, CAMERAS, 2):
        pipeline.process([grey()] * count)
    assert pipeline.memory == before


def test_the_network_alone_is_timed_for_as_many_images(pipeline):
    times = pipeline.network_times(CAMERAS, 3)
    assert len(times) == 3
    assert all(time > 0 for time in times)


def test_a_trace_has_lanes_for_every_context_and_one_beginning(pipeline):
    pipeline.start_trace()
    pipeline.process([grey()] * CAMERAS)
    spans = pipeline.stop_trace()
    parts = ('copy in', 'compute', 'copy out')
    lanes = {f'context {number}, {part}' for number in range(CAMERAS) for part in parts}
    assert {span.lane for span in spans} == lanes
    computed = sorted((s.start_ms, s.end_ms) for s in spans if s.lane.endswith('compute'))
    assert computed[0][0] >= 0
    for (_, end), (start, _) in itertools.pairwise(computed):
        assert end <= start, 'one after the other, in one stream'
    assert pipeline.stop_trace() == []


def test_streams_and_events_go_in_the_owners_thread(driver, model):
    gc.collect()
    gc.disable()
    try:
        pipeline, _ = opened(driver, model)
        pipeline.start_trace()
        pipeline.process([grey()] * CAMERAS)
        pipeline.stop_trace()
        pipeline.close()
        assert driver.freed_in <= {driver.owner_thread}
        assert driver.left()['streams and events'] == 0
    finally:
        gc.enable()
