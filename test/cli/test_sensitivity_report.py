"""The report on what int8 costs where."""

from __future__ import annotations

import pytest

from building.calibrated import minmax_ranges, noise
from family_networks import write_family
from trt_perception.building.calibration_ranges import write_ranges
from trt_perception.building.gate import GateFigures
from trt_perception.building.sensitivity import FloatChoice
from trt_perception.cli.sensitivity_report import advice, ranking


@pytest.fixture
def model(tmp_path):
    path = write_family(tmp_path / 'net.onnx', 'unet')
    file = tmp_path / 'net.yaml'
    file.write_text('onnx: net.onnx\nfamily: semantic\nclasses: [a, b, c, d, e, f]\n')
    write_ranges(tmp_path / 'net.calibration.json', minmax_ranges(path, noise(1)))
    return file


def test_without_layers():
    assert ranking([]) == 'layer  loss  error  multiply-adds'


def test_the_report_needs_no_tensorrt(command, model):
    arguments = ('--sensitivity', '--image-count', 1, '--images', 'synthetic:calibration', '-q')
    done = command('build', model, *arguments)
    assert done.returncode == 0, done.stderr
    assert 'all layers int8: ' in done.stdout
    assert '/Conv_' in done.stdout
    assert 'a loss of 2.0% is met with' in done.stdout


def test_a_calibration_is_needed(command, model, tmp_path):
    (tmp_path / 'net.calibration.json').unlink()
    done = command('build', model, '--sensitivity')
    assert done.returncode == 2
    assert 'no calibration yet' in done.stderr
    done = command('build', model, '--sensitivity', '--loss-budget', 2)
    assert '--loss-budget 2.0: must lie in 0..1' in done.stderr


def test_the_advice_is_yaml_for_the_model():
    figures = GateFigures(images=1, compared='pixels', agreement=0.99, overlap=1.0, outputs={})
    text = advice(FloatChoice(('/b', '/c'), figures, 0.9, True), ['/a*'], 0.02)
    assert text.splitlines()[-5:] == [
        'quantisation:',
        '  keep_float:',
        "    - '/a*'",
        "    - '/b'",
        "    - '/c'",
    ]
    missed = advice(FloatChoice((), figures, 0.9, False), [], 0.02)
    assert 'cannot be met with 0 more layers' in missed
    assert 'YAML' not in missed
