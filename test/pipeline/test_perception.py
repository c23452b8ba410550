from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from networks import write_constant_network
from trt_perception.errors import (
    FrameError,
    InferenceError,
    ModelFileError,
    ModelOutputError,
)
from trt_perception.frames import Frame
from trt_perception.pipeline.perception import open_pipeline

NAMES = ('car', 'dog')


@pytest.fixture
def pipeline(model):
    pipeline = open_pipeline(model, threads=1)
    yield pipeline
    pipeline.close()


def frame(width, height):
    return Frame.from_bgr(np.zeros((height, width, 3), np.uint8))


def test_no_frames_no_results(pipeline):
    assert pipeline.process([]) == []


def test_a_frame_may_lie_in_memory_of_the_pipeline(pipeline):
    memory = pipeline.frame_memory(48 * 64 * 3)
    memory[:] = 0
    (perceived,) = pipeline.process([Frame(memory, 48, 64, 192, 'bgr8')])
    assert len(perceived.result) == 2
    assert np.shares_memory(memory, perceived.image)
    assert not np.shares_memory(memory, pipeline.frame_memory(48 * 64 * 3))


def test_boxes_come_back_in_the_frames_pixels(pipeline):
    (perceived,) = pipeline.process([frame(128, 96)])
    found = perceived.result
    assert found.size == (128, 96)
    assert found.scores == pytest.approx([0.9, 0.5])
    assert found.class_ids.tolist() == [0, 1]
    assert found.boxes == pytest.approx(np.array([[48, 40, 80, 56], [12, 12, 20, 20]]))


def test_every_stage_is_timed(pipeline):
    (perceived,) = pipeline.process([frame(64, 48)])
    assert list(perceived.stages_ms) == ['convert', 'preprocess', 'infer', 'decode']
    assert all(duration >= 0 for duration in perceived.stages_ms.values())


def test_a_batch_of_different_sizes(pipeline):
    small, large = pipeline.process([frame(64, 48), frame(640, 480)])
    assert large.result.boxes == pytest.approx(small.result.boxes * 10)
    assert len(pipeline.process([frame(64, 48)])) == 1


def test_settings_change_between_frames(pipeline):
    all_classes = pipeline.settings
    pipeline.settings = replace(pipeline.settings, class_filter=frozenset({1}))
    assert pipeline.process([frame(64, 48)])[0].result.class_ids.tolist() == [1]
    pipeline.settings = all_classes
    assert len(pipeline.process([frame(64, 48)])[0].result) == 2


def test_a_bad_frame_is_refused_and_the_next_one_served(pipeline):
    with pytest.raises(FrameError):
        pipeline.process([Frame(np.zeros(3, np.uint8), 48, 64, 192, 'bgr8')])
    assert len(pipeline.process([frame(64, 48)])[0].result) == 2


def network(tmp_path, yaml='', **options):
    outputs = {'output0': np.zeros((6, 8), np.float32)}
    metadata = {'names': str(NAMES), 'family': 'yolov8', 'task': 'detect'}
    write_constant_network(tmp_path / 'net.onnx', outputs, metadata=metadata, **options)
    path = tmp_path / 'net.yaml'
    path.write_text(f'onnx: net.onnx\n{yaml}')
    return path


def test_an_input_of_another_size_is_refused_at_once(tmp_path):
    with pytest.raises(ModelFileError, match='32x32'):
        open_pipeline(network(tmp_path, 'input: {size: [32, 32]}'))


def test_an_input_of_an_unusable_type_is_refused_at_once(tmp_path):
    with pytest.raises(ModelFileError, match='int64'):
        open_pipeline(network(tmp_path, input_type=TensorProto.INT64))


def test_a_network_that_only_takes_several_images_at_a_time_is_refused_at_once(tmp_path):
    with pytest.raises(ModelFileError, match=r'4 images at a time.*batch of 1'):
        open_pipeline(network(tmp_path, batch=4))
    assert open_pipeline(network(tmp_path, batch=1))


def test_other_class_counts_are_refused_at_once(tmp_path):
    with pytest.raises(ModelOutputError, match='3'):
        open_pipeline(network(tmp_path, 'classes: [car, dog, cat]'))


@pytest.mark.parametrize('kind', [TensorProto.FLOAT16, TensorProto.UINT8])
def test_other_input_types_are_served(tmp_path, kind):
    pipeline = open_pipeline(network(tmp_path, input_type=kind))
    assert len(pipeline.process([frame(64, 48)])[0].result) == 0


def test_a_bad_frame_fails_alone_in_a_batch(pipeline):
    bad = Frame(np.zeros(3, np.uint8), 48, 64, 192, 'bgr8')
    first, second, third = pipeline.process_each([frame(64, 48), bad, frame(640, 480)])
    assert isinstance(second, FrameError)
    assert second.cause == 'short_data'
    assert third.result.boxes == pytest.approx(first.result.boxes * 10)
    assert [type(outcome) for outcome in pipeline.process_each([bad])] == [FrameError]
    assert pipeline.process_each([]) == []


class Choosy:
    """A network that fails on black images, and so on every batch that holds one."""

    def __init__(self, runtime):
        self._runtime = runtime

    def __getattr__(self, name):
        return getattr(self._runtime, name)

    def infer(self, inputs):
        [tensor] = inputs.values()
        if any(not image.any() for image in tensor):
            raise InferenceError('too dark')
        return self._runtime.infer(inputs)


def test_where_a_batch_fails_each_frame_is_tried_alone(pipeline):
    pipeline.runtime = Choosy(pipeline.runtime)
    light = Frame.from_bgr(np.full((48, 64, 3), 9, np.uint8))
    dark = Frame.from_bgr(np.zeros((48, 64, 3), np.uint8))
    outcomes = pipeline.process_each([light, dark, light])
    assert [isinstance(outcome, InferenceError) for outcome in outcomes] == [False, True, False]
    with pytest.raises(InferenceError, match='too dark'):
        pipeline.process([light, dark])


def test_batches_of_any_order_of_lengths(pipeline):
    """The tensor of the longest is used for the others too."""
    for length in (1, 4, 2, 1, 3):
        outcomes = pipeline.process([frame(64, 48)] * length)
        assert [len(outcome.result) for outcome in outcomes] == [2] * length


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_a_network_that_answers_nan_is_refused_when_it_is_opened(tmp_path, dtype):
    output = np.zeros((6, 21), dtype)
    output[5, 3] = np.nan
    metadata = {'names': "['car', 'dog']", 'family': 'yolov8', 'task': 'detect'}
    path = write_constant_network(tmp_path / 'net.onnx', {'output0': output}, metadata=metadata)
    with pytest.raises(ModelOutputError, match=r'net\.onnx.*output0.*1 of 126 numbers.*NaN'):
        open_pipeline(path)


def test_infinite_numbers_and_whole_ones_are_no_nan(tmp_path):
    output = np.zeros((6, 21), np.float32)
    output[0, 3] = np.inf
    more = np.array([1, 2])
    outputs = {'output0': output, 'steps': more}
    write_constant_network(tmp_path / 'net.onnx', outputs)
    yaml = tmp_path / 'net.yaml'
    yaml.write_text('onnx: net.onnx\nfamily: yolov8\nclasses: [car, dog]')
    open_pipeline(yaml).close()


def test_answers_for_another_number_of_images_are_refused_when_it_is_opened(tmp_path):
    outputs = {'output0': np.zeros((6, 21), np.float32)}
    path = write_constant_network(tmp_path / 'net.onnx', outputs)
    model = onnx.load(path)
    value = next(w for w in model.graph.initializer if w.name == 'output0_value')
    value.CopyFrom(numpy_helper.from_array(np.zeros((4, 6, 21), np.float32), value.name))
    onnx.save(model, path)
    yaml = tmp_path / 'net.yaml'
    yaml.write_text('onnx: net.onnx\nfamily: yolov8\nclasses: [car, dog]')
    with pytest.raises(ModelOutputError, match=r'\[4, 6, 21\].*1 image'):
        open_pipeline(yaml)
