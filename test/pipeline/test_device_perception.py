"""The device pipeline on a stand-in for the GPU, compared with the pipeline on the CPU."""

import gc
import itertools
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kernel_execution import OnHost
from networks import write_constant_network, write_scaling_detr, yolov8_output
from on_stand_in import CHOICE, CpuStages, grey, kernel_stages, lose, network_on, stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception import results
from trt_perception.errors import (
    DeviceLostError,
    FrameError,
    GpuMemoryError,
    InferenceError,
    ModelFileError,
)
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.palette import class_colors
from trt_perception.pipeline.device_perception import DevicePipeline
from trt_perception.pipeline.device_resources import MOST_RESULTS
from trt_perception.pipeline.perception import open_pipeline
from trt_perception.results import Detections
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.sources.opening import open_source

STREET = Path(__file__).resolve().parents[2] / 'config' / 'models' / 'street_detect.yaml'


def on_device(driver, model, **options):
    spec = load_model_spec(model)
    network = network_on(driver, spec.onnx)
    return DevicePipeline(spec, network, CHOICE, make_stages=CpuStages, **options)


@pytest.fixture
def pipeline(driver, model):
    pipeline = on_device(driver, model)
    yield pipeline
    pipeline.close()


@pytest.fixture(scope='module')
def street():
    """Ten frames of a street, of three sizes, and what the CPU finds in them."""
    with open_source('synthetic:7', size=(640, 384)) as source:
        frames = list(itertools.islice(source, 10))
    frames = [cut(frame, number) for number, frame in enumerate(frames)]
    on_cpu = open_pipeline(STREET, backend='onnxruntime-cpu', threads=1)
    found = [on_cpu.process([frame])[0].result for frame in frames]
    assert sum(len(one) for one in found) > 10
    return frames, found


def cut(frame, number):
    image = frame.data.reshape(frame.height, frame.step)[:, : frame.width * 3]
    image = image.reshape(frame.height, frame.width, 3)
    return Frame.from_bgr(image[: 384 - 64 * (number % 3)].copy(), stamp_ns=number)


def assert_same(found, expected):
    assert found.size == expected.size
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_no_frames_no_results(pipeline, driver):
    before = dict(driver.calls)
    assert pipeline.process([]) == []
    assert driver.calls == before


def test_a_frame_gives_what_the_cpu_gives(driver, street):
    frames, expected = street
    pipeline = on_device(driver, STREET)
    for frame, want in zip(frames[:3], expected, strict=False):
        (perceived,) = pipeline.process([frame])
        assert_same(perceived.result, want)
        assert list(perceived.stages_ms) == ['convert', 'preprocess', 'infer', 'decode']
    pipeline.close()


def test_a_batch_gives_what_its_frames_give_alone(driver, street):
    frames, expected = street
    pipeline = on_device(driver, STREET)
    found = pipeline.process(frames[:4])
    for one, want in zip(found, expected, strict=False):
        assert_same(one.result, want)
    pipeline.close()


@pytest.mark.parametrize('seed', range(3))
def test_batches_that_overlap_do_not_mix(street, seed):
    """Streams run their operations in any order that the events allow."""
    frames, expected = street
    driver = StandInDriver(seed=seed)
    pipeline = on_device(driver, STREET, overlap=True)
    found = list(pipeline.process_all([frame] for frame in frames))
    assert len(found) == len(frames)
    for (one,), want in zip(found, expected, strict=True):
        assert_same(one.result, want)
    pipeline.close()


def test_a_batch_is_decoded_as_was_set_when_it_was_given(driver, model):
    pipeline = on_device(driver, model, overlap=True)
    busy = threading.Event()
    pipeline.runtime.owner.submit(lambda gpu: busy.wait(10))
    begun = pipeline.submit([grey(64, 48)])
    pipeline.settings = replace(pipeline.settings, score=0.99)
    busy.set()
    assert len(pipeline.finish(begun)[0].result) == 2
    assert len(pipeline.process([grey(64, 48)])[0].result) == 0
    pipeline.close()


def test_the_next_batch_begins_before_the_one_before_ends(driver, model):
    pipeline = on_device(driver, model, overlap=True)
    pipeline.start_trace()
    list(pipeline.process_all([[grey(64, 48)]] * 3))
    spans = pipeline.stop_trace()
    assert {span.lane for span in spans} == {'copy in', 'compute', 'copy out'}
    assert sorted({span.batch for span in spans}) == [1, 2, 3]
    assert all(span.end_ms >= span.start_ms >= 0 for span in spans)
    assert pipeline.stop_trace() == []
    pipeline.close()


def test_without_overlap_there_is_one_stream(pipeline, driver):
    assert len(driver.streams) == 1


def test_the_picture_is_made_for_who_asks_only(pipeline, monkeypatch):
    converted = []
    monkeypatch.setattr(
        'trt_perception.pipeline.perception.to_bgr',
        lambda frame: converted.append(frame) or np.zeros((48, 64, 3), np.uint8),
    )
    (perceived,) = pipeline.process([grey(64, 48)])
    assert converted == []
    assert perceived.image.shape == (48, 64, 3)
    assert perceived.image is perceived.image
    assert len(converted) == 1


def test_nothing_is_allocated_once_every_size_was_seen(pipeline):
    sizes = [(64, 48), (640, 480), (33, 21)]
    for size in sizes:
        pipeline.process([grey(*size)])
    before = pipeline.memory
    for _ in range(5):
        for size in sizes:
            pipeline.process([grey(*size)])
    assert pipeline.memory == before


def test_room_for_a_batch_serves_all_smaller_ones(pipeline):
    pipeline.make_room(4)
    before = pipeline.memory
    for batch in (1, 4, 3, 2):
        assert len(pipeline.process([grey(64, 48)] * batch)) == batch
    assert pipeline.memory == before


def test_room_for_a_batch_has_each_smaller_one_recorded_before_frames_wait_for_it(pipeline):
    """A first run and a recording take tens of milliseconds, largest first for the memory."""
    ran, process = [], pipeline.process
    pipeline.process = lambda frames: ran.append(len(frames)) or process(frames)
    pipeline.make_room(3)
    assert ran == [3, 3, 2, 2, 1, 1]


def test_a_larger_image_allocates_once(pipeline):
    pipeline.process([grey(64, 48)])
    before = pipeline.memory.allocations
    pipeline.process([grey(1280, 720)])
    assert pipeline.memory.allocations == before + 2, 'page-locked and on the device'
    pipeline.process([grey(1280, 720)])
    assert pipeline.memory.allocations == before + 2


def test_frames_that_the_kernels_do_not_read_are_converted_first(pipeline):
    image = np.full((48, 64, 3), 90, np.uint8)
    import cv2

    _, packed = cv2.imencode('.png', image)
    (perceived,) = pipeline.process([Frame.from_file_bytes(packed.tobytes())])
    assert len(perceived.result) == 2
    np.testing.assert_array_equal(perceived.image, image)


def test_a_bad_frame_is_refused_and_the_others_served(pipeline):
    bad = Frame(np.zeros(3, np.uint8), 48, 64, 192, 'bgr8')
    good, refused, also = pipeline.process_each([grey(64, 48), bad, grey(64, 48)])
    assert isinstance(refused, FrameError)
    assert len(good.result) == len(also.result) == 2
    with pytest.raises(FrameError):
        pipeline.submit([bad])


def test_rows_that_lie_apart_and_data_that_is_too_long_are_read(pipeline):
    data = np.zeros(48 * 256 + 1000, np.uint8)
    (perceived,) = pipeline.process([Frame(data, 48, 64, 256, 'bgr8')])
    assert len(perceived.result) == 2


def test_settings_change_between_frames(pipeline):
    pipeline.settings = replace(pipeline.settings, class_filter=frozenset({1}))
    assert pipeline.process([grey(64, 48)])[0].result.class_ids.tolist() == [1]


def test_an_image_that_does_not_fit_is_refused_and_the_next_one_served(pipeline, driver):
    driver.total = 3 << 20
    (refused,) = pipeline.process_each([grey(1920, 1080)])
    assert isinstance(refused, GpuMemoryError)
    assert 'frames, slot 0' in str(refused)
    assert len(pipeline.process([grey(64, 48)])[0].result) == 2


def test_out_of_memory_in_mid_run_is_refused_and_the_next_one_served(pipeline, driver):
    pipeline.process([grey(64, 48)])
    driver.fail('mem_alloc', driver.MemoryError('cuMemAlloc failed: out of memory'))
    with pytest.raises(GpuMemoryError):
        pipeline.process([grey(640, 480)])
    assert len(pipeline.process([grey(640, 480)])[0].result) == 2


@pytest.mark.parametrize('after', range(4))
def test_out_of_memory_for_a_batch_leaves_its_frames_to_be_looked_at_alone(pipeline, driver, after):
    """Tensors that had to grow for the batch are elsewhere by then, or gone."""
    pipeline.process([grey(64, 48)])
    driver.fail('mem_alloc', driver.MemoryError('cuMemAlloc failed: out of memory'), after=after)
    found = pipeline.process_each([grey(64, 48)] * 8)
    assert [len(one.result) for one in found] == [2] * 8
    assert driver.resets == 0


@pytest.mark.parametrize('seed', range(5))
def test_what_the_network_takes_beside_the_image_is_there_before_it_runs(tmp_path, seed):
    """Its copy is out of ordinary memory, and no stream of ours waits for such a one."""
    write_scaling_detr(tmp_path / 'net.onnx', [0, 0, 1, 0.5])
    model = tmp_path / 'net.yaml'
    model.write_text('onnx: net.onnx\nfamily: detr\nclasses: [car]\ninput: {size: [64, 48]}\n')
    pipeline = on_device(StandInDriver(seed=seed), model)
    for batch in (1, 3, 2, 1):
        for one in pipeline.process([grey(64, 48)] * batch):
            np.testing.assert_array_equal(one.result.boxes, [[0, 0, 64, 24]])
    pipeline.close()


def test_no_memory_when_it_is_opened_leaves_nothing(driver, model):
    driver.fail('Stream', driver.MemoryError('cuStreamCreate failed: out of memory'))
    with pytest.raises(GpuMemoryError):
        on_device(driver, model)


@pytest.mark.parametrize('after', [0, 3, 9])
def test_a_failure_while_it_is_set_up_leaves_nothing(driver, model, after):
    spec = load_model_spec(model)
    network = network_on(driver, spec.onnx)
    made = []

    def stages(gpu):
        made.append(CpuStages(gpu))
        return made[0]

    driver.fail('Event', driver.LogicError('cuEventCreate failed'), after=after)
    with pytest.raises(InferenceError):
        DevicePipeline(spec, network, CHOICE, make_stages=stages, overlap=True)
    assert made[0].closed
    network.close()


def test_a_kernel_that_fails_costs_one_frame(pipeline, driver):
    pipeline.process([grey(64, 48)])
    driver.fail('launch', driver.LogicError('cuLaunchKernel failed: invalid value'))
    with pytest.raises(InferenceError, match='cuLaunchKernel'):
        pipeline.process([grey(64, 48)])
    assert len(pipeline.process([grey(64, 48)])[0].result) == 2


@pytest.mark.parametrize('call', ['launch', 'memcpy_htod_async', 'enqueue', 'Event.synchronize'])
def test_a_lost_gpu_is_set_up_anew_once(pipeline, driver, call):
    pipeline.process([grey(64, 48)])
    lose(driver, call)
    with pytest.raises(InferenceError, match=r'illegal memory.*set up anew'):
        pipeline.process([grey(64, 48)])
    assert driver.resets == 1
    assert len(pipeline.process([grey(64, 48)])[0].result) == 2
    gc.collect()
    assert driver.retained == 1


def test_a_gpu_that_is_lost_again_is_told_with_each_frame(driver, model):
    pipeline = on_device(driver, model)
    lose(driver)
    with pytest.raises(InferenceError, match='set up anew'):
        pipeline.process([grey(64, 48)])
    lose(driver)
    for _ in range(3):
        with pytest.raises(DeviceLostError, match='dmesg'):
            pipeline.process([grey(64, 48)])
    assert driver.resets == 2
    pipeline.close()


@pytest.mark.parametrize('overlap', [False, True])
def test_a_gpu_that_does_not_come_back_is_told(driver, model, overlap):
    pipeline = on_device(driver, model, overlap=overlap)
    lose(driver)
    driver.fail('retain_primary_context', driver.Error('no device'))
    with pytest.raises(DeviceLostError):
        pipeline.process([grey(64, 48)])
    taken = itertools.count()
    with pytest.raises(DeviceLostError):
        next(pipeline.process_all([grey(64, 48)] for _ in taken))
    assert next(taken) == 1, 'not all frames of a camera before the first error'
    pipeline.close()


SETTING_UP = (
    'Device',
    'retain_primary_context',
    'Stream',
    'Event',
    'mem_alloc',
    'launch',
    'enqueue',
)


@pytest.mark.parametrize('error', ['MemoryError', 'LogicError'])
@pytest.mark.parametrize('call', SETTING_UP)
@pytest.mark.parametrize('to_cpu', [False, True])
def test_where_setting_it_up_anew_fails_all_is_given_back_and_told(
    driver, model, call, error, to_cpu
):
    on_cpu = (lambda: open_pipeline(model, backend='onnxruntime-cpu')) if to_cpu else None
    pipeline = on_device(driver, model, on_cpu=on_cpu)
    pipeline.process([grey(64, 48)])
    lose(driver)
    driver.after_reset = lambda: driver.fail(call, getattr(driver, error)(f'{call} fails again'))
    with pytest.raises(InferenceError, match='illegal memory'):
        pipeline.process([grey(64, 48)])
    gc.collect()
    assert driver.live == {}
    assert driver.retained == 0
    for _ in range(2):
        if to_cpu:
            assert len(pipeline.process([grey(64, 48)])[0].result) == 2
            continue
        with pytest.raises(DeviceLostError, match='Setting it up anew failed'):
            pipeline.process([grey(64, 48)])
    pipeline.close()


def test_a_cpu_that_cannot_go_on_either_is_told(driver, model):
    def on_cpu():
        raise ModelFileError('the CPU has no such operator')

    pipeline = on_device(driver, model, on_cpu=on_cpu)
    lose(driver)
    with pytest.raises(InferenceError, match='set up anew'):
        pipeline.process([grey(64, 48)])
    lose(driver)
    for _ in range(2):
        with pytest.raises(DeviceLostError, match='no such operator'):
            pipeline.process([grey(64, 48)])
    pipeline.close()


def test_where_it_is_allowed_the_cpu_goes_on(driver, model):
    pipeline = on_device(
        driver, model, on_cpu=lambda: open_pipeline(model, backend='onnxruntime-cpu')
    )
    for text in ('set up anew', 'goes on on the CPU'):
        lose(driver)
        with pytest.raises(InferenceError, match=text):
            pipeline.process([grey(64, 48)])
    assert len(pipeline.process([grey(64, 48)])[0].result) == 2
    pipeline.settings = replace(pipeline.settings, class_filter=frozenset({1}))
    assert len(pipeline.process([grey(64, 48)])[0].result) == 1
    assert 'lost' in pipeline.choice.reason
    assert pipeline.choice.backend == 'onnxruntime-cpu'
    pipeline.close()


def test_opening_and_closing_over_and_over_leaves_nothing(driver, model):
    for _ in range(10):
        pipeline = on_device(driver, model, overlap=True)
        pipeline.submit([grey(64, 48)])
        pipeline.close()
        pipeline.close()


@pytest.mark.parametrize('overlap', [False, True])
def test_streams_and_events_go_in_the_owners_thread(driver, model, overlap):
    """Without the help of Python's collector, which may run in any thread."""
    gc.collect()
    gc.disable()
    try:
        pipeline = on_device(driver, model, overlap=overlap)
        pipeline.start_trace()
        list(pipeline.process_all([[grey(64, 48)]] * 3))
        pipeline.submit([grey(64, 48)])
        pipeline.stop_trace()
        pipeline.close()
        assert driver.freed_in <= {driver.owner_thread}
        assert driver.left()['streams and events'] == 0
    finally:
        gc.enable()


def test_a_frame_in_memory_of_the_pipeline_is_not_copied_on_the_host(
    pipeline, driver, street, monkeypatch
):
    def refuse(*_, **__):
        raise AssertionError('copied')

    memory = pipeline.frame_memory(48 * 64 * 3)
    memory[:] = 90
    monkeypatch.setattr('trt_perception.gpu.host_copy._copy', refuse)
    (perceived,) = pipeline.process([Frame(memory, 48, 64, 192, 'bgr8')])
    assert len(perceived.result) == 2
    assert perceived.image is not None
    start = memory.__array_interface__['data'][0]
    del memory, perceived
    again = pipeline.frame_memory(48 * 64 * 3)
    assert again.__array_interface__['data'][0] == start


def test_without_a_gpu_there_is_still_memory_for_frames(driver, model):
    """It was lost, or closed: the frames that come meanwhile are read all the same."""
    pipeline = on_device(driver, model)
    pipeline.close()
    assert len(pipeline.frame_memory(100)) == 100


def test_memory_asked_for_while_the_gpu_is_set_up_anew_is_not_of_the_old_one(
    pipeline, driver, monkeypatch
):
    """It would be locked for a pipeline that is gone, and stay so."""
    pipeline.process([grey()])
    asked, plain_open = [], DeviceNetwork.open

    def opened(network):
        plain_open(network)
        asked.append(pipeline.frame_memory(48 * 64 * 3))

    monkeypatch.setattr(DeviceNetwork, 'open', opened)
    lose(driver)
    with pytest.raises(InferenceError, match='set up anew'):
        pipeline.process([grey()])
    assert sum(driver.pinned.values()) == pipeline.memory.pinned_bytes
    (memory,) = asked
    memory[:] = 90
    assert len(pipeline.process([Frame(memory, 48, 64, 192, 'bgr8')])[0].result) == 2


@pytest.mark.parametrize('in_place', [False, True])
def test_of_large_frames_only_the_rows_that_are_read_are_copied(driver, street, in_place):
    image = street[0][0].data.reshape(384, 640, 3)
    large = Frame.from_bgr(image.repeat(3, axis=0).repeat(3, axis=1))
    on_cpu = open_pipeline(STREET, backend='onnxruntime-cpu', threads=1)
    want = on_cpu.process([large])[0].result
    pipeline = on_device(driver, STREET)
    if in_place:
        memory = pipeline.frame_memory(large.data.size)
        memory[:] = large.data
        large = replace(large, data=memory)
    (perceived,) = pipeline.process([large])
    assert driver.calls['Memcpy2D'] >= 1
    assert 'memcpy_htod_async' not in driver.calls
    assert_same(perceived.result, want)
    pipeline.close()


def test_where_no_memory_can_be_locked_frames_and_results_are_copied(pipeline, driver):
    for _ in range(2):
        driver.fail('lock', driver.MemoryError('no'))
    memory = pipeline.frame_memory(48 * 64 * 3)
    (perceived,) = pipeline.process([Frame(memory, 48, 64, 192, 'bgr8')])
    assert len(perceived.result) == 2


def test_results_stay_as_they_are_while_frames_go_on(driver, host_kernels, street):
    """More of them than memory is lent, and after the end."""
    yaml = STREET.with_name('street_semantic.yaml')
    spec = load_model_spec(yaml)
    pipeline = DevicePipeline(
        spec, network_on(driver, spec.onnx), CHOICE, make_stages=kernel_stages(host_kernels)
    )
    frames = [Frame.from_bgr(np.ascontiguousarray(shrunk(f)[::4, ::4])) for f in street[0]]
    kept, copies = [], []
    for frame in frames[: MOST_RESULTS + 2]:
        kept.append(pipeline.process([frame])[0].result.class_ids)
        copies.append(kept[-1].copy())
    pipeline.close()
    for one, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(one, copy)


def test_several_pipelines_share_one_owner(driver, model):
    owner = stand_in_owner(driver)
    owner.users = 0

    def acquire():
        owner.users += 1
        return owner

    spec = load_model_spec(model)
    pipelines = [
        DevicePipeline(spec, network_on(driver, spec.onnx, acquire), CHOICE, make_stages=CpuStages)
        for _ in range(3)
    ]
    futures = [p.submit([grey(64, 48)]) for p in pipelines for _ in range(4)]
    assert all(len(f.result(10)[0].result) == 2 for f in futures)
    for pipeline in pipelines:
        pipeline.close()


@pytest.fixture(scope='module')
def host_kernels(tmp_path_factory):
    return OnHost(tmp_path_factory.mktemp('kernels'))


@pytest.mark.parametrize('name', ['street_detect', 'street_instance', 'street_semantic'])
def test_the_packages_kernels_give_what_the_cpu_gives(driver, host_kernels, street, name):
    """From the camera's bytes to results, with the kernels compiled for the host."""
    frames, _ = street
    frames = [Frame.from_bgr(np.ascontiguousarray(shrunk(f))) for f in frames[:2]]
    yaml = STREET.with_name(f'{name}.yaml')
    spec = load_model_spec(yaml)
    on_cpu = open_pipeline(yaml, backend='onnxruntime-cpu', threads=1)
    pipeline = DevicePipeline(
        spec, network_on(driver, spec.onnx), CHOICE, make_stages=kernel_stages(host_kernels)
    )
    for one, want in zip(pipeline.process(frames), on_cpu.process(frames), strict=True):
        if name == 'street_semantic':
            same = one.result.class_ids == want.result.class_ids
            assert same.mean() > 0.999
            continue
        assert_same(one.result, want.result)
        if name == 'street_instance':
            same = one.result.id_image() == want.result.id_image()
            assert same.mean() > 0.999
    pipeline.close()


@pytest.mark.parametrize('name', ['street_instance', 'street_semantic'])
def test_pictures_are_made_on_the_gpu_while_they_are_asked_for(
    driver, host_kernels, street, name, monkeypatch
):
    frame = Frame.from_bgr(np.ascontiguousarray(shrunk(street[0][0])))
    spec = load_model_spec(STREET.with_name(f'{name}.yaml'))
    pipeline = DevicePipeline(
        spec, network_on(driver, spec.onnx), CHOICE, make_stages=kernel_stages(host_kernels)
    )
    colors = class_colors(spec.classes)

    def picture(result):
        return result.color_image(colors) if 'semantic' in name else result.id_image()

    (plain,) = pipeline.process([frame])
    expected = picture(plain.result)
    assert expected.any()
    with monkeypatch.context() as patch:
        # What makes them on the CPU.
        patch.delattr(results, 'color_mask')
        patch.delattr(Detections, 'id_image')
        with pytest.raises((NameError, AttributeError)):
            picture(plain.result)
        pipeline.pictures = True
        (made,) = pipeline.process([frame])
        np.testing.assert_array_equal(picture(made.result), expected)
        pipeline.pictures = False
        (plain,) = pipeline.process([frame])
        with pytest.raises((NameError, AttributeError)):
            picture(plain.result)
    pipeline.close()


@pytest.mark.parametrize('call', ['mem_alloc', 'pagelocked_empty'])
@pytest.mark.parametrize('name', ['street_instance', 'street_semantic'])
def test_out_of_memory_at_any_allocation_costs_one_frame(driver, host_kernels, street, name, call):
    """Also of what masks, class maps and their pictures take."""
    large = Frame.from_bgr(np.ascontiguousarray(shrunk(street[0][0])))
    spec = load_model_spec(STREET.with_name(f'{name}.yaml'))
    stages = kernel_stages(host_kernels)
    pipeline = DevicePipeline(spec, network_on(driver, spec.onnx), CHOICE, make_stages=stages)
    pipeline.pictures = True
    pipeline.process([grey(8, 6)])
    refused, outcome = 0, None
    while outcome is None or isinstance(outcome, GpuMemoryError):
        # What did fit stays, so that the first call is the one that failed before.
        driver.fail(call, driver.MemoryError('out of memory'), after=min(refused, 1))
        (outcome,) = pipeline.process_each([large])
        refused += 1
    assert refused > 1
    driver.forgive()
    (again,) = pipeline.process([large])
    np.testing.assert_array_equal(outcome.result.class_ids, again.result.class_ids)
    assert outcome.result.size == (large.width, large.height)
    pipeline.close()


def test_no_room_for_the_colours_of_classes_costs_one_frame(driver, host_kernels):
    """Their table goes to the GPU when somebody first looks."""
    spec = load_model_spec(STREET.with_name('street_semantic.yaml'))
    stages = kernel_stages(host_kernels)
    pipeline = DevicePipeline(spec, network_on(driver, spec.onnx), CHOICE, make_stages=stages)
    pipeline.process([grey(64, 48)])
    pipeline.pictures = True
    driver.fail('to_device', driver.MemoryError('cuMemAlloc failed: out of memory'))
    with pytest.raises(GpuMemoryError):
        pipeline.process([grey(64, 48)])
    assert pipeline.process([grey(64, 48)])[0].result.colored is not None
    pipeline.close()


@pytest.mark.parametrize(('left', 'lacking'), [(8 << 20, 3), (3 << 20, 12)])
def test_masks_get_no_more_room_than_the_gpu_has(driver, host_kernels, tmp_path, left, lacking):
    """That what was refused is asked for again with each frame would end the camera."""
    outputs = {
        'output0': np.concatenate(
            [
                yolov8_output([(32, 24, 62, 46)] * 20, np.linspace(0.9, 0.6, 20)),
                np.ones((4, 32), np.float32),
            ]
        ),
        'output1': np.ones((4, 12, 16), np.float32),
    }
    metadata = {'names': "['car']", 'task': 'instance', 'family': 'yolov8'}
    write_constant_network(tmp_path / 'net.onnx', outputs, metadata=metadata)
    (tmp_path / 'net.yaml').write_text('onnx: net.onnx\n')
    spec = load_model_spec(tmp_path / 'net.yaml')
    stages = kernel_stages(host_kernels)
    pipeline = DevicePipeline(spec, network_on(driver, spec.onnx), CHOICE, make_stages=stages)
    pipeline.settings = replace(pipeline.settings, iou=1.0)
    pipeline.process([grey(640, 480)])
    driver.total = sum(size for _, size in driver.live.values()) + left
    outcomes = [pipeline.process_each([grey(640, 480)])[0] for _ in range(6)]
    refused = [isinstance(outcome, GpuMemoryError) for outcome in outcomes]
    assert 0 < sum(refused) < 4
    assert refused == sorted(refused, reverse=True), 'none is refused once one was served'
    masks = outcomes[-1].result.masks
    assert len(masks) == 20
    assert sum(mask.bits.size == 0 for mask in masks) == lacking
    pipeline.close()


def shrunk(frame):
    image = frame.data.reshape(frame.height, frame.width, 3)
    return image[::2, ::2]


def test_more_objects_than_the_kernels_have_room_for_are_decoded_on_the_cpu(
    driver, host_kernels, model
):
    spec = load_model_spec(model)
    pipeline = DevicePipeline(
        spec, network_on(driver, spec.onnx), CHOICE, make_stages=kernel_stages(host_kernels)
    )
    pipeline.settings = replace(pipeline.settings, max_detections=2000)
    assert len(pipeline.process([grey(64, 48)])[0].result) == 2
    pipeline.close()
