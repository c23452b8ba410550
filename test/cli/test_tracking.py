"""`trt_perception detect --tracker`."""

from __future__ import annotations

import json

import numpy as np

from networks import write_constant_network


def tracks(folder):
    frames = json.loads((folder / 'detections.json').read_text())['frames']
    return [[found.get('track_id') for found in frame['detections']] for frame in frames]


def test_objects_of_a_moving_street_have_ids(command, detector, tmp_path):
    street = ('synthetic:7', '-m', detector, '--limit', '4')
    done = command('detect', *street, '-o', 'with', '--tracker', 'bytetrack')
    assert done.returncode == 0, done.stderr
    # The detector finds a car and, less surely, a dog in the same place of everything.
    assert tracks(tmp_path / 'with') == [[1, None], [1, 2], [1, 2], [1, 2]]
    assert '\ntrack ' in done.stdout
    done = command('detect', *street, '-o', 'without')
    assert tracks(tmp_path / 'without') == [[None, None]] * 4
    assert '\ntrack ' not in done.stdout


def test_what_deepsort_lacks_is_said(command, detector, image):
    done = command('detect', image, '-m', detector, '--tracker', 'deepsort')
    assert done.returncode == 0
    assert 'this model gives no embeddings' in done.stdout


def test_an_embedding_model_describes_every_object(command, detector, image, tmp_path):
    outputs = {'embedding': np.array([3, 4], np.float32)}
    metadata = {'family': 'arcface'}
    path = write_constant_network(tmp_path / 'embed.onnx', outputs, metadata=metadata)
    options = ('-m', detector, '--tracker', 'deepsort', '--embedding-model', path, '-o', 'looks')
    done = command('detect', image, *options)
    assert done.returncode == 0, done.stderr
    assert 'no embeddings' not in done.stdout
    assert '\nembed ' in done.stdout
    frames = json.loads((tmp_path / 'looks' / 'detections.json').read_text())['frames']
    assert [found['embedding'] for found in frames[0]['detections']] == [[0.6, 0.8]] * 2
    done = command('detect', image, '-m', detector, '--embedding-model', detector)
    assert done.returncode == 2
    assert 'a model for the task embed is needed' in done.stderr


def test_an_unknown_tracker_is_one_line(command, detector, image):
    done = command('detect', image, '-m', detector, '--tracker', 'byte')
    assert done.returncode == 2
    assert 'none, sort, bytetrack, deepsort' in done.stderr
    assert len(done.stderr.splitlines()) == 1
