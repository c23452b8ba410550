"""Several cameras on one network on a real GPU by onnxruntime, each with a context of its own."""

import itertools
import threading

import numpy as np
import pytest

from pipeline.test_device_perception_on_gpu import MODELS, NAMES, assert_alike, lacking
from trt_perception.frames import Frame
from trt_perception.gpu.sharing import acquire_owner, release_owner
from trt_perception.pipeline.contexts import ContextsPipeline
from trt_perception.pipeline.perception import GpuUse, open_pipeline
from trt_perception.sources.opening import open_source

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(lacking()), reason=lacking() or 'a GPU')]

MOST_BYTES = 60 * 10**6
"""Of GPU memory that a further camera may take."""


def opened(name, cameras, **use):
    return open_pipeline(
        MODELS / f'{name}.yaml',
        backend='onnxruntime-cuda',
        gpu_use=GpuUse(cameras=cameras, context_each=True, **use),
    )


@pytest.fixture(scope='module')
def frames():
    with open_source('synthetic:5', size=(1920, 1080)) as source:
        return list(itertools.islice(source, 6))


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('overlap', [False, True])
def test_gives_what_the_cpu_gives(frames, name, overlap):
    on_cpu = open_pipeline(MODELS / f'{name}.yaml', backend='onnxruntime-cpu')
    pipeline = opened(name, 3, overlap=overlap)
    assert isinstance(pipeline, ContextsPipeline)
    batches = [frames[:3], frames[3:], frames[::2]]
    found = [one for batch in pipeline.process_all(batches) for one in batch]
    for one, frame in zip(found, itertools.chain(*batches), strict=True):
        assert_alike(one.result, on_cpu.process([frame])[0].result, name)
    pipeline.close()


def test_contexts_may_be_driven_by_threads_of_their_own(frames):
    pipeline = opened('street_detect', 3)
    alone = [pipeline.contexts[0].process([frame])[0].result for frame in frames]
    wrong = []

    def drive(context):
        for _ in range(20):
            for frame, want in zip(frames, alone, strict=True):
                found = context.process([frame])[0].result
                if not np.array_equal(found.boxes, want.boxes):
                    wrong.append(found)

    threads = [threading.Thread(target=drive, args=(c,)) for c in pipeline.contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    pipeline.close()


def test_a_further_camera_takes_little_memory_and_all_is_given_back(frames):
    owner = acquire_owner()
    try:
        opened('street_detect', 2).close()  # what CUDA and onnxruntime keep for good
        free, used = [], {}
        for cameras in (1, 2, 4):
            free.append(owner.call(lambda gpu: gpu.room.free))
            pipeline = opened('street_detect', cameras)
            pipeline.process([frames[0]] * cameras)
            used[cameras] = free[-1] - owner.call(lambda gpu: gpu.room.free)
            pipeline.close()
        assert (used[4] - used[2]) / 2 < MOST_BYTES
        assert max(free) - min(free) < 1 << 23
    finally:
        release_owner(owner)


def test_frames_of_any_size_and_of_more_cameras_than_contexts(frames):
    pipeline = opened('street_detect', 2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        heights, widths = rng.integers(1, 1081, 3), rng.integers(1, 1921, 3)
        images = [np.zeros((h, w, 3), np.uint8) for h, w in zip(heights, widths, strict=True)]
        found = pipeline.process([Frame.from_bgr(image) for image in images])
        assert [one.result.size for one in found] == [*zip(widths, heights, strict=True)]
    pipeline.close()
