"""How images go through the pipeline, on the CPU and on a stand-in for a GPU."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from networks import write_detector
from on_stand_in import CpuStages, network_on
from stand_in_driver import StandInDriver
from trt_perception.errors import FrameError
from trt_perception.frames import COMPRESSED, Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.pipeline.making import make_pipeline
from trt_perception.pipeline.perception import GpuUse, open_pipeline
from trt_perception.replaying.part_work import looked_at
from trt_perception.runtime.selection import BackendChoice


@pytest.fixture
def model(tmp_path):
    return write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9]], ('car',))


@pytest.fixture(params=['cpu', 'gpu'])
def pipeline(request, model):
    if request.param == 'cpu':
        pipeline = open_pipeline(model, backend='onnxruntime-cpu', threads=1)
    else:
        spec = load_model_spec(model)
        network = network_on(StandInDriver(seed=4), spec.onnx)
        choice = BackendChoice('stand-in', 'a test')
        pipeline = make_pipeline(spec, network, choice, GpuUse(overlap=True), CpuStages)
    yield pipeline
    pipeline.close()


def images_of(count):
    """Of sizes of their own, by which each result tells its image."""
    return [
        (number, Frame.from_bgr(np.full((40 + number, 64, 3), 90, np.uint8), stamp_ns=number + 1))
        for number in range(count)
    ]


def test_no_images(pipeline):
    assert list(looked_at(pipeline, [], 1)) == []


@pytest.mark.parametrize(('count', 'batch'), [(1, 1), (5, 1), (7, 2), (3, 4)])
def test_each_image_comes_with_its_own_result(pipeline, count, batch):
    pipeline.make_room(batch)
    images = images_of(count)
    found = list(looked_at(pipeline, iter(images), batch))
    assert [image for image, _, _ in found] == list(range(count))
    for (_, frame, perceived), (_, given) in zip(found, images, strict=True):
        assert frame is given
        assert perceived.result.size == (64, frame.height)
        assert len(perceived.result) == 1


def test_what_the_pipeline_reads_is_left_as_it_is(pipeline):
    frame = Frame.from_bgr(np.zeros((48, 64, 3), np.uint8))
    assert pipeline.usable(frame) is frame


def test_a_picture_is_decompressed_once(pipeline):
    data = cv2.imencode('.png', np.full((48, 64, 3), 7, np.uint8))[1].reshape(-1)
    frame = pipeline.usable(Frame(data, 0, 0, 0, COMPRESSED, stamp_ns=5, frame_id='left'))
    assert (frame.encoding, frame.width, frame.height) == ('bgr8', 64, 48)
    assert (frame.stamp_ns, frame.frame_id) == (5, 'left')


@pytest.mark.parametrize(
    ('encoding', 'cause'),
    [('cmyk', 'unknown_encoding'), ('bgr8', 'short_data'), (COMPRESSED, 'corrupt')],
)
def test_what_cannot_be_read_says_why(pipeline, encoding, cause):
    with pytest.raises(FrameError) as caught:
        pipeline.usable(Frame(np.zeros(100, np.uint8), 48, 64, 192, encoding))
    assert caught.value.cause == cause
