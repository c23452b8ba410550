"""`trt_perception export`, over an ONNX file; test/exporting has the torch modules."""

import json

import numpy as np

from networks import write_constant_network


def write(folder):
    return write_constant_network(
        folder / 'net.onnx', {'output0': np.full((6, 62), 0.25, np.float32)}
    )


def test_a_file_becomes_complete_and_can_be_used(command, image, tmp_path):
    write(tmp_path)
    (tmp_path / 'names.txt').write_text('car\ndog\n')
    done = command(
        *('export', 'net.onnx', '--out', 'out.onnx', '--names', 'names.txt'),
        *('--suppression', '--iou', '0.5', '--no-simplify'),
    )
    assert done.returncode == 0, done.stderr
    assert 'compared with net.onnx' in done.stdout
    assert 'complete: family yolov10, task detect, model:=out.onnx' in done.stdout
    found = command('detect', image, '--model', 'out.onnx', '--out', 'found', '-q')
    assert found.returncode == 0, found.stderr
    results = json.loads((tmp_path / 'found' / 'detections.json').read_text())
    assert results['model']['classes'] == ['car', 'dog']


def test_what_is_missing_is_said(command, tmp_path):
    write(tmp_path)
    done = command('export', 'net.onnx', '--out', 'out.onnx', '--no-simplify')
    assert done.returncode == 0
    assert 'not complete by itself' in done.stdout


def test_two_kinds_of_surgery_and_a_missing_file_are_one_line(command):
    both = command('export', 'net.onnx', '--out', 'o.onnx', '--argmax', '--suppression')
    assert both.returncode == 2
    assert len(both.stderr.splitlines()) == 1
    gone = command('export', 'gone.onnx', '--out', 'o.onnx')
    assert gone.returncode == 2
    assert 'gone.onnx' in gone.stderr
    assert len(gone.stderr.splitlines()) == 1
