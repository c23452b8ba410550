import re
from dataclasses import replace

import numpy as np
import pytest

from networks import write_detector
from trt_perception.adaptation.settings import AdaptationSettings, MachineState
from trt_perception.errors import InferenceError, ModelSpecError, ParameterError
from trt_perception.frames import Frame
from trt_perception.pipeline.adaptive import AdaptivePipeline, Variant
from trt_perception.pipeline.perception import open_pipeline

NAMES = ('car', 'dog')
LARGE, SMALL = (640, 480), (64, 48)
FRAME = Frame.from_bgr(np.zeros((48, 64, 3), np.uint8))


def variant(folder, size, names=NAMES):
    """A detector that finds one car in the frame's middle and, if it is large, a dog."""
    folder = folder / f'{size[0]}_{len(names)}'
    folder.mkdir()
    middle = (size[0] / 2, size[1] / 2, 16, 8)
    corner = (16, 16, 16, 8) if size == LARGE else (0, 0, 0, 0)
    scores = [[0.9, *[0.0] * (len(names) - 1)], [*[0.0] * (len(names) - 1), 0.8]]
    model = write_detector(folder, [middle, corner], scores, names, size=size)
    return Variant(f'{size[0]}x{size[1]}', open_pipeline(model, threads=1))


class Machine:
    """A machine whose clock and temperature the test sets."""

    def __init__(self):
        self.now_s = 0.0
        self.temperature_c = 50.0

    def state(self):
        return MachineState(temperature_c=self.temperature_c)

    def clock(self):
        self.now_s += 0.1
        return self.now_s


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def told():
    return []


@pytest.fixture
def pipeline(tmp_path, told, machine):
    pipeline = AdaptivePipeline(
        [variant(tmp_path, LARGE), variant(tmp_path, SMALL)],
        AdaptationSettings(target_latency_ms=200.0, window=3, calm_s=2.0),
        moved=told.append,
        machine=machine.state,
        clock=machine.clock,
    )
    yield pipeline
    pipeline.close()


def found(pipeline):
    (perceived,) = pipeline.process([FRAME])
    return perceived.result.class_ids.tolist()


def test_no_variant_is_no_pipeline(told):
    with pytest.raises(ParameterError, match='each variant'):
        AdaptivePipeline([], AdaptationSettings(target_latency_ms=20.0), moved=told.append)


def test_what_each_variant_takes_is_told_with_the_target(pipeline):
    assert re.fullmatch(
        r'640x480 [\d.]+ ms, 64x48 [\d.]+ ms; the target is 200\.0 ms', pipeline.expected()
    )
    assert pipeline.misordered() == ''


def test_a_variant_that_is_slower_than_the_one_before_is_named(tmp_path, told):
    pipeline = AdaptivePipeline(
        [variant(tmp_path, SMALL), variant(tmp_path, LARGE)],
        AdaptationSettings(target_latency_ms=200.0),
        moved=told.append,
    )
    assert pipeline.misordered().startswith('adaptive: 640x480 is not faster')
    pipeline.close()


def test_it_begins_with_the_first_and_looks_like_it(pipeline):
    assert pipeline.variant.name == '640x480'
    assert pipeline.spec.input.size == LARGE
    assert pipeline.runtime.backend == pipeline.choice.backend == 'onnxruntime-cpu'
    assert found(pipeline) == [0, 1]
    assert len(pipeline.process_each([FRAME, FRAME])) == 2
    assert pipeline.process([]) == []


def test_a_slow_machine_moves_it_and_a_calm_one_back(pipeline, told):
    for _ in range(20):
        pipeline.frame_done(250.0)
    assert told == ['from 640x480 to 64x48: a frame takes 250.0 ms, the target is 200.0 ms']
    assert found(pipeline) == [0]
    assert pipeline.spec.input.size == SMALL
    for _ in range(60):
        pipeline.frame_done(0.001)
    assert len(told) == 2
    assert told[1].startswith('from 64x48 to 640x480: about ')
    assert found(pipeline) == [0, 1]


def test_memory_for_frames_is_the_current_variants(pipeline, machine):
    asked = []
    for variant in pipeline.variants:
        variant.pipeline.frame_memory = lambda nbytes, name=variant.name: asked.append(name)
    pipeline.frame_memory(10)
    machine.temperature_c = 90.0
    pipeline.frame_done(1.0)
    pipeline.frame_memory(10)
    assert asked == ['640x480', '64x48']


def test_a_hot_gpu_moves_it(pipeline, told, machine):
    machine.temperature_c = 90.0
    pipeline.frame_done(1.0)
    assert told == ['from 640x480 to 64x48: the GPU has 90 °C, the limit is 85 °C']


def test_settings_hold_for_every_variant(pipeline, machine):
    pipeline.settings = replace(pipeline.settings, class_filter=frozenset({1}))
    assert found(pipeline) == [1]
    machine.temperature_c = 90.0
    pipeline.frame_done(1.0)
    assert found(pipeline) == []
    assert pipeline.settings.class_filter == frozenset({1})


def test_other_classes_cannot_take_turns(tmp_path, told):
    variants = [variant(tmp_path, LARGE), variant(tmp_path, SMALL, ('car', 'cat', 'dog'))]
    with pytest.raises(ModelSpecError, match=r'detector \(detect, 3 classes\) cannot take turns'):
        AdaptivePipeline(variants, AdaptationSettings(target_latency_ms=20.0), moved=told.append)


def test_closing_frees_all(pipeline):
    pipeline.warm_up()
    pipeline.close()
    for each in pipeline.variants:
        with pytest.raises(InferenceError):
            each.pipeline.process([FRAME])
