import json

from building_cases import write_model
from family_networks import FAMILIES
from trt_perception.cli.main import main

SIX = 'family: yolov8\nclasses: [a, b, c, d, e, f]\n'


def test_prints_one_report_and_writes_json(tmp_path, capsys):
    model = write_model(tmp_path / 'model', FAMILIES['yolov8'](batch='batch'), SIX)
    file = tmp_path / 'report.json'
    arguments = ['selftest', '--model', str(model), '--precisions', 'fp32', '--json', str(file)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert 'net fp32: graph on the CPU' in printed
    assert 'onnxruntime-cpu' in printed
    assert 'trt_perception selftest: ' in printed
    report = json.loads(file.read_text())
    assert (report['format'], report['failed']) == ('trt_perception.selftest', False)
    assert {check['what'] for check in report['checks']} >= {'net fp32: graph on the CPU'}
    assert report['facts']['backends']


def test_what_cannot_be_done_is_refused(tmp_path, capsys):
    assert main(['selftest', '--precisions', 'fp32,int3']) == 2
    assert 'allowed are fp32, fp16, int8' in capsys.readouterr().err
    report = str(tmp_path / 'gone' / 'report.json')
    assert main(['selftest', '-m', 'gone', '--precisions', 'fp32', '--json', report]) == 2
    printed = capsys.readouterr()
    assert 'failed       gone fp32: model' in printed.out
    assert 'cannot be written' in printed.err
