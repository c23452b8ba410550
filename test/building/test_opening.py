"""A model opened on an engine: TensorRT-RTX builds it, onnxruntime runs what was built from."""

from __future__ import annotations

import functools
import itertools
import sys

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from building_cases import write_model
from family_networks import FAMILIES
from trt_perception.building import engine_gate
from trt_perception.building.build_progress import BuildControl
from trt_perception.building.calibrate import calibrate
from trt_perception.building.calibration_ranges import load_ranges, ranges_path, write_ranges
from trt_perception.building.cpu_execution import for_onnxruntime, open_network
from trt_perception.building.engine_cache import EngineCache
from trt_perception.building.engine_gate import EngineGate, gate_images, judged
from trt_perception.building.engine_opening import EngineDevice, ladder
from trt_perception.building.opening import Watch, open_built_pipeline
from trt_perception.building.precision import prepare_graph
from trt_perception.errors import (
    AccuracyError,
    BackendUnavailableError,
    BuildCancelledError,
    CalibrationError,
    ParameterError,
)
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec
from trt_perception.model_store import find_model
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.tensorrt_flavour import find_flavour
from trt_perception.sources.opening import open_source

PICTURES = 3
GREY = Frame.from_bgr(np.full((96, 128, 3), 90, np.uint8))


@pytest.fixture(scope='session')
def rtx():
    try:
        return find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='session')
def street(tmp_path_factory):
    """The shipped detector, calibrated on few images, in a folder of its own."""
    folder = tmp_path_factory.mktemp('street')
    shipped = find_model('street_detect')
    for path in (shipped, shipped.with_suffix('.onnx')):
        (folder / path.name).write_bytes(path.read_bytes())
    model = folder / shipped.name
    pictures = folder / 'pictures'
    pictures.mkdir()
    with open_source('synthetic:calibration') as source:
        for number, frame in enumerate(itertools.islice(source, PICTURES)):
            cv2.imwrite(str(pictures / f'{number}.png'), to_bgr(frame))
    with open_source(str(pictures)) as source:
        done = calibrate(load_model_spec(model), source, source=str(pictures))
    write_ranges(ranges_path(model), done.ranges)
    return model


def unharmed(graph):
    return graph


@functools.cache
def graph_of(model, precision, damage=unharmed):
    """The network in a precision as onnxruntime runs it."""
    spec = load_model_spec(model)
    ranges = load_ranges(ranges_path(model)) if precision == 'int8' else None
    return for_onnxruntime(damage(prepare_graph(spec.onnx, precision, ranges).model))


def broken(graph):
    """The same graph with one filter of each of its weights gone wild."""
    model = onnx.load_model_from_string(graph)
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor).copy()
        if value.ndim == 4 and value.dtype != np.int8:
            value[...] = -value
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return model.SerializeToString()


def gate_of(model, precision, damage=unharmed):
    def execute(plan, asked):
        assert (plan, asked) == (b'plan', precision)
        return open_network(graph_of(model, precision, damage), threads=1)

    ranges = load_ranges(ranges_path(model))
    return EngineGate(load_model_spec(model), precision, ranges, execute)


def test_int8_of_the_street_passes_and_is_told_in_words(street):
    gate = gate_of(street, 'int8')
    figures = gate.measure(b'plan')
    assert figures['images'] == PICTURES
    assert 0.9 <= figures['agreement'] <= 1
    assert 0 < figures['outputs']['output0'] < 0.2
    assert f'({PICTURES} images)' in gate.verdict(figures)


def test_a_broken_graph_fails_with_the_remedy(street):
    gate = gate_of(street, 'int8', broken)
    figures = gate.measure(b'plan')
    assert figures['agreement'] < 0.5
    with pytest.raises(AccuracyError, match=r'int8 engine of street_detect.*--sensitivity'):
        gate.verdict(figures)


def test_without_onnxruntime_nothing_is_compared_and_that_is_said(street, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    gate = gate_of(street, 'int8')
    assert gate.measure(b'plan') == {}
    assert 'not compared with float32: onnxruntime is not installed' in gate.verdict({})


def test_images_come_from_the_calibration_or_else_from_the_street(street, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_gate, 'GATE_IMAGES', 1)
    ranges = load_ranges(ranges_path(street))
    assert gate_images(ranges)[0].shape == (384, 640, 3)
    gone = ranges.__class__(
        onnx='x',
        onnx_sha256='0' * 64,
        method='minmax',
        tensors={},
        images=ranges.images.__class__(source=str(tmp_path / 'gone')),
    )
    assert len(gate_images(gone)) == len(gate_images(None)) == 1


@pytest.mark.parametrize(
    ('precision', 'fallback', 'tried'),
    [
        ('int8', 'none', ('int8',)),
        ('int8', 'fp16', ('int8', 'fp16')),
        ('int8', 'fp32', ('int8', 'fp16', 'fp32')),
        ('fp16', 'fp32', ('fp16', 'fp32')),
        ('fp16', 'fp16', ('fp16',)),
        ('fp32', 'fp16', ('fp32',)),
    ],
)
def test_it_falls_as_far_as_is_allowed_and_never_rises(precision, fallback, tried):
    assert ladder(precision, fallback) == tried


class Told(list):
    """What was told and warned of."""

    def watch(self, **control):
        return Watch(BuildControl(**control), self.append, self.append)

    @property
    def text(self):
        return '\n'.join(self)


@pytest.fixture
def opened(rtx, street, tmp_path):
    """Opens the street detector by engines that RTX builds; returns the pipeline and what was
    told."""
    executed = []

    def open_it(precision='int8', damaged=(), **arguments):
        def execute(plan, asked):
            assert len(plan) > 10_000
            executed.append(asked)
            damage = broken if asked in damaged else unharmed
            return open_network(graph_of(street, asked, damage), threads=1)

        told = Told()
        watch = arguments.pop('watch', None) or told.watch()
        pipeline = open_built_pipeline(
            arguments.pop('model', street),
            precision=precision,
            watch=watch,
            cache=EngineCache(tmp_path / 'engines'),
            device=EngineDevice(rtx, None, execute, ('8.6',)),
            **arguments,
        )
        return pipeline, told

    open_it.executed = executed
    open_it.cache = EngineCache(tmp_path / 'engines')
    return open_it


def test_it_builds_gates_and_runs_then_finds_what_it_built(opened):
    pipeline, told = opened()
    assert pipeline.choice.backend == 'tensorrt-rtx'
    assert 'of objects agree' in pipeline.choice.verified
    assert 'no engine of street_detect was built here before' in told.text
    [perceived] = pipeline.process([GREY])
    assert perceived.result.size == (128, 96)
    pipeline.close()
    [kept] = opened.cache.entries()
    assert kept.facts['gate']['images'] == PICTURES
    assert opened.executed == ['int8', 'int8']

    again, told = opened()
    again.close()
    assert again.choice.verified == pipeline.choice.verified
    assert 'found in' in told.text
    assert opened.executed == ['int8'] * 3, 'the gate is not run again'


def test_an_engine_for_several_cameras_takes_batches(opened):
    opened()[0].close()
    pipeline, told = opened(max_batch=4)
    pipeline.close()
    assert 'optimisation profile' in told.text
    profiles = {str(entry.identity.profiles[0]['images']) for entry in opened.cache.entries()}
    assert profiles == {
        '1x3x384x640:1x3x384x640:1x3x384x640',
        '1x3x384x640:4x3x384x640:4x3x384x640',
    }
    with pytest.raises(ParameterError, match='max_batch 0'):
        opened(max_batch=0)


def test_a_fixed_batch_stays_what_it_is(rtx, tmp_path):
    text = 'family: semantic\nclasses: [a, b, c, d, e, f]\n'
    model = write_model(tmp_path / 'model', FAMILIES['unet'](), text)
    cache = EngineCache(tmp_path / 'engines')
    device = EngineDevice(rtx, None, lambda *_: OnnxRuntime(model.with_name('net.onnx')), ('8.6',))
    pipeline = open_built_pipeline(model, max_batch=4, cache=cache, device=device)
    pipeline.close()
    [kept] = cache.entries()
    assert kept.identity.profiles == ()


def test_an_engine_that_fails_is_never_used_and_not_built_twice(opened):
    with pytest.raises(AccuracyError, match='agree with float32; the limit is'):
        opened(damaged=('int8',))
    with pytest.raises(AccuracyError, match='fallback_precision'):
        opened()
    assert opened.executed == ['int8']
    pipeline, told = opened(fallback='fp16')
    assert pipeline.choice.verified
    assert 'falling back from int8: the int8 engine of street_detect' in told.text
    assert opened.executed == ['int8', 'fp16', 'fp16']
    pipeline.close()


def test_it_falls_no_further_than_allowed(opened):
    with pytest.raises(AccuracyError, match='the fp16 engine'):
        opened(damaged=('int8', 'fp16'), fallback='fp16')


def test_a_limit_can_be_changed_without_building_again(opened, street):
    spec = load_model_spec(street)
    opened()[0].close()
    [kept] = opened.cache.entries()
    assert judged(spec, 'int8', kept.facts['gate'])
    strict = street.with_name('strict.yaml')
    strict.write_text(street.read_text() + 'quantisation: {gate: {relative_error: 0.000001}}\n')
    with pytest.raises(AccuracyError, match='output0 differs'):
        judged(load_model_spec(strict), 'int8', kept.facts['gate'])


def test_an_engine_without_figures_is_gated_when_it_is_first_used(opened):
    opened()[0].close()
    [kept] = opened.cache.entries()
    engine = opened.cache.find(kept.identity, kept.label)
    facts = {name: value for name, value in engine.facts.items() if name != 'gate'}
    stripped = engine.__class__(engine.plan, facts, 'built', '', None)
    assert opened.cache.keep(kept.identity, stripped, label=kept.label) == []
    pipeline, _ = opened()
    pipeline.close()
    assert 'of objects agree' in pipeline.choice.verified
    [kept] = opened.cache.entries()
    assert kept.facts['gate']['images'] == PICTURES


def test_a_build_can_be_cancelled_and_watched(opened):
    shares = []
    watch = Told().watch(
        progress=lambda share, phase: shares.append(share), cancelled=lambda: bool(shares)
    )
    with pytest.raises(BuildCancelledError):
        opened(watch=watch)
    assert opened.cache.entries() == []
    assert opened.executed == []


def test_int8_without_a_calibration_says_how_to_make_one(opened, tmp_path, street):
    model = tmp_path / 'bare.yaml'
    model.write_text(street.read_text())
    (tmp_path / 'street_detect.onnx').write_bytes(street.with_suffix('.onnx').read_bytes())
    with pytest.raises(CalibrationError, match='trt_perception calibrate'):
        opened(model=model)


def test_on_a_machine_without_tensorrt_the_remedy_is_named(street):
    try:
        find_flavour()
    except BackendUnavailableError:
        pass
    else:
        pytest.skip('a TensorRT is installed here')
    for backend in ('auto', 'tensorrt'):
        with pytest.raises(BackendUnavailableError, match=r'not installed.*JetPack'):
            open_built_pipeline(street, backend=backend, precision='int8')
    with pytest.raises(ParameterError, match='onnxruntime-cpu runs the network as its file'):
        open_built_pipeline(street, backend='onnxruntime-cpu', precision='int8')
    with pytest.raises(ParameterError, match='none, fp16, fp32'):
        open_built_pipeline(street, fallback='int4')


def test_fp32_runs_without_an_engine(street):
    pipeline = open_built_pipeline(street, backend='onnxruntime-cpu', threads=1)
    assert pipeline.runtime.backend == 'onnxruntime-cpu'
    assert pipeline.choice.verified == ''
    pipeline.close()
