"""The command line in a process of its own, and small known models and inputs for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from networks import write_car_and_dog, write_constant_network, yolov8_output

ROOT = Path(__file__).resolve().parents[2]
CAR = (32, 24, 16, 8)


@pytest.fixture
def command(tmp_path):
    """Runs the command in tmp_path; returns the finished process."""

    def run(*arguments, **environment):
        return subprocess.run(
            [*run.line, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**run.environment, **environment},
            timeout=100,
        )

    run.line = [sys.executable, '-m', 'trt_perception.cli']
    # Some tests start the command elsewhere, where it must still find this package.
    run.environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([*sys.path, str(ROOT)])}
    return run


@pytest.fixture
def detector(tmp_path):
    """Finds a car and a dog in everything: boxes in a network input of 64x48."""
    return write_car_and_dog(tmp_path)


@pytest.fixture
def segmenter(tmp_path):
    """One car whose mask is the left half of the prototypes."""
    rows = yolov8_output([CAR], [[0.9, 0.1]])
    coefficients = np.zeros((4, rows.shape[1]), np.float32)
    coefficients[0, 0] = 20.0
    prototypes = np.zeros((4, 12, 16), np.float32)
    prototypes[0] = -1.0
    prototypes[0, :, :8] = 1.0
    outputs = {'output0': np.vstack([rows, coefficients]), 'output1': prototypes}
    metadata = {'names': "['car', 'dog']", 'task': 'instance', 'family': 'yolov8'}
    write_constant_network(tmp_path / 'segmenter.onnx', outputs, metadata=metadata)
    file = tmp_path / 'segmenter.yaml'
    file.write_text('onnx: segmenter.onnx\n')
    return file


@pytest.fixture
def semantic(tmp_path):
    """Road in the lower half of everything, sky in the upper."""
    logits = np.zeros((2, 12, 16), np.float32)
    logits[0, 6:] = 9.0
    logits[1, :6] = 9.0
    metadata = {'names': "['road', 'sky']", 'task': 'semantic', 'family': 'semantic'}
    write_constant_network(tmp_path / 'semantic.onnx', {'logits': logits}, metadata=metadata)
    file = tmp_path / 'semantic.yaml'
    file.write_text('onnx: semantic.onnx\n')
    return file


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'street.png'
    cv2.imwrite(str(path), np.full((240, 320, 3), 90, np.uint8))
    return path


@pytest.fixture
def video(tmp_path):
    """Writes a video of grey frames."""

    def write(frames, name='clip.avi'):
        fourcc = cv2.VideoWriter.fourcc(*'MJPG')
        writer = cv2.VideoWriter(str(tmp_path / name), cv2.CAP_FFMPEG, fourcc, 20.0, (320, 240))
        for number in range(frames):
            writer.write(np.full((240, 320, 3), 20 + number % 200, np.uint8))
        writer.release()
        return tmp_path / name

    return write
