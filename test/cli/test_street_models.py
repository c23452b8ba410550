"""The package's own models over unseen streets, through the command line, against the truth."""

import json

import cv2
import numpy as np
import pytest

from trt_perception.cli.coco_rle import decode_mask
from trt_perception.model_store import models_dir
from trt_perception.scenes import (
    SEMANTIC_CLASSES,
    THING_CLASSES,
    Split,
    StreetScene,
    scene_seed,
)

FRAMES = 6
LARGE = 32 * 32
SIZE = (640, 384)


def needs(model):
    there = (models_dir() / f'{model}.onnx').is_file()
    return pytest.mark.skipif(not there, reason=f'{model}.onnx is not in config/models')


@pytest.fixture(scope='module')
def truth():
    scenes = (StreetScene(scene_seed(Split.TEST, n), size=SIZE) for n in range(FRAMES))
    return [scene.render(0.0) for scene in scenes]


def run(command, tmp_path, model):
    done = command('detect', 'synthetic:test', '-m', model, '-o', 'found', '--limit', FRAMES)
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / 'found' / 'detections.json').read_text())['frames']


def iou(box, other):
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0))
    areas = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
    return shared / (areas - shared)


def match(frame, seen):
    """For each large true object: its index and the detection of its class that fits best."""
    for index, (box, class_id) in enumerate(zip(seen.boxes, seen.class_ids, strict=True)):
        if np.prod(box[2:] - box[:2]) < LARGE:
            continue
        name = THING_CLASSES[class_id]
        rivals = [d for d in frame['detections'] if d['class'] == name]
        best = max(rivals, key=lambda d: iou(np.array(d['box']), box), default=None)
        found = best is not None and iou(np.array(best['box']), box) >= 0.5
        yield index, best if found else None


@pytest.mark.parametrize(
    'model', [pytest.param(m, marks=needs(m)) for m in ('street_detect', 'street_instance')]
)
def test_large_objects_are_found_where_they_are(command, tmp_path, truth, model):
    frames = run(command, tmp_path, model)
    pairs = [pair for f, t in zip(frames, truth, strict=True) for pair in match(f, t)]
    assert len(pairs) >= 10
    found = sum(detection is not None for _, detection in pairs)
    assert found / len(pairs) >= 0.8


@needs('street_instance')
def test_instance_masks_cover_their_objects(command, tmp_path, truth):
    frames = run(command, tmp_path, 'street_instance')
    overlaps = []
    for frame, seen in zip(frames, truth, strict=True):
        for index, detection in match(frame, seen):
            if detection is None:
                continue
            bits, real = decode_mask(detection['mask']), seen.instance_ids == index + 1
            overlaps.append((bits & real).sum() / (bits | real).sum())
    assert np.median(overlaps) >= 0.6


@needs('street_semantic')
def test_most_pixels_get_their_class(command, tmp_path, truth):
    frames = run(command, tmp_path, 'street_semantic')
    right = []
    for frame, seen in zip(frames, truth, strict=True):
        mask = cv2.imread(str(tmp_path / 'found' / frame['mask_file']), cv2.IMREAD_UNCHANGED)
        assert mask.shape == SIZE[::-1]
        assert mask.max() < len(SEMANTIC_CLASSES)
        right.append((mask == seen.semantic).mean())
    assert np.mean(right) >= 0.85
