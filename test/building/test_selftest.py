"""What the self-test says: of a machine without TensorRT, of a device, of a broken one."""

from __future__ import annotations

import sys

import pytest

from building_cases import write_model
from family_networks import FAMILIES
from networks import write_scaling_detr
from trt_perception.building.cpu_execution import for_onnxruntime, open_network
from trt_perception.building.engine_opening import EngineDevice
from trt_perception.building.precision import prepare_graph
from trt_perception.building.selftest import selftest
from trt_perception.errors import BackendUnavailableError, BuildCancelledError
from trt_perception.runtime.obstacles import ENGINE_BACKENDS, obstacles
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.tensorrt_flavour import find_flavour

SIX = 'family: yolov8\nclasses: [a, b, c, d, e, f]\n'


@pytest.fixture
def model(tmp_path):
    return str(write_model(tmp_path / 'model', FAMILIES['yolov8'](batch='batch'), SIX))


@pytest.fixture
def rtx():
    try:
        return find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def states(report):
    return {check.what.partition(': ')[2]: check.state for check in report.checks}


def test_nothing_to_check_is_no_failure(tmp_path):
    report = selftest(tmp_path / 'engines', models=())
    assert (report.checks, report.failed) == ([], False)


def test_without_a_device_the_rest_is_checked(model, tmp_path):
    if not all(obstacles(backend) for backend in ENGINE_BACKENDS):
        pytest.skip('engines can be executed here')
    told = []
    report = selftest(tmp_path / 'engines', models=[model], precisions=['fp16'], tell=told.append)
    found = states(report)
    assert told == report.checks
    assert found['gate'] == found['execute'] == 'not verified'
    assert found['graph on the CPU'] == 'passed', report.checks
    assert not report.failed


def test_a_device_is_checked_from_build_to_latency(rtx, model, tmp_path):
    onnx = tmp_path / 'model' / 'net.onnx'

    def execute(plan, precision):
        return open_network(for_onnxruntime(prepare_graph(onnx, precision).model), threads=1)

    report = selftest(
        tmp_path / 'engines',
        models=[model],
        precisions=['fp32'],
        device=EngineDevice(rtx, None, execute, ('8.6',)),
    )
    assert set(states(report).values()) == {'passed'}, report.checks
    assert list(states(report)) == ['build', 'cache hit', 'gate', 'execute', 'graph on the CPU']
    details = {check.what.partition(': ')[2]: check.detail for check in report.checks}
    assert 'layers' in details['build']
    assert 'p50' in details['execute']


def test_a_network_of_open_size_is_timed_at_the_size_that_is_fed(rtx, tmp_path):
    yaml = SIX + 'input: {size: [128, 96]}\n'
    network = FAMILIES['yolov8'](batch='batch', open_size=True)
    model = write_model(tmp_path / 'open', network, yaml)
    shapes = set()

    class Seen(OnnxRuntime):
        def infer(self, inputs):
            shapes.update(value.shape for value in inputs.values())
            return super().infer(inputs)

    report = selftest(
        tmp_path / 'engines',
        models=[str(model)],
        precisions=['fp32'],
        device=EngineDevice(rtx, None, lambda *_: Seen(model.with_name('net.onnx')), ('8.6',)),
    )
    assert set(states(report).values()) == {'passed'}, report.checks
    assert shapes == {(1, 3, 96, 128)}


def test_a_network_that_takes_more_than_an_image_is_timed(rtx, tmp_path):
    network = write_scaling_detr(tmp_path / 'net.onnx', [0, 0, 1, 0.5])
    model = tmp_path / 'net.yaml'
    model.write_text('onnx: net.onnx\nfamily: detr\nclasses: [car]\ninput: {size: [64, 48]}\n')
    report = selftest(
        tmp_path / 'engines',
        models=[str(model)],
        precisions=['fp32'],
        device=EngineDevice(rtx, None, lambda *_: OnnxRuntime(network), ('8.6',)),
    )
    assert states(report)['execute'] == 'passed', report.checks


def test_without_onnxruntime_nothing_is_compared_and_nothing_failed(
    rtx, model, tmp_path, monkeypatch
):
    device = OnnxRuntime(tmp_path / 'model' / 'net.onnx')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    report = selftest(
        tmp_path / 'engines',
        models=[model],
        precisions=['fp32'],
        device=EngineDevice(rtx, None, lambda *_: device, ('8.6',)),
    )
    found = states(report)
    assert found['gate'] == found['graph on the CPU'] == 'not verified', report.checks
    assert found['execute'] == 'passed', report.checks
    said = {check.detail for check in report.checks if check.state == 'not verified'}
    assert all('onnxruntime is not installed' in words for words in said)


def test_what_fails_is_said_and_the_rest_goes_on(rtx, model, tmp_path):
    def execute(plan, precision):
        raise RuntimeError('the device is on fire')

    report = selftest(
        tmp_path / 'engines',
        models=['no_such_model', model],
        precisions=['fp32', 'int8'],
        device=EngineDevice(rtx, None, execute, ('8.6',)),
    )
    failed = {check.what: check.detail for check in report.checks if check.state == 'failed'}
    assert 'no model' in failed['no_such_model fp32: model']
    assert failed['net fp32: gate'] == 'RuntimeError: the device is on fire'
    assert 'trt_perception calibrate' in failed['net int8: build']
    assert states(report)['cache hit'] == 'passed'
    assert report.failed


def test_it_can_be_stopped(model, tmp_path):
    with pytest.raises(BuildCancelledError):
        selftest(tmp_path / 'engines', models=[model], cancelled=lambda: True)
