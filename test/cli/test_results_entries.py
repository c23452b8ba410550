"""What one frame becomes in detections.json, for every kind of result."""

import json
from pathlib import Path

import numpy as np
import pytest

from trt_perception.cli.results_entries import entry_of
from trt_perception.frames import Frame
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.results import Classification, Detections, Embedding, SegmentationMap

FRAME = Frame.from_bgr(np.zeros((48, 64, 3), np.uint8))
SPEC = ModelSpec(
    name='m',
    onnx=Path('m.onnx'),
    family='yolov8',
    task='detect',
    input=InputSpec(size=(64, 48)),
    classes=(ClassSpec(name='cat'), ClassSpec(name='dog')),
)


def entry(result):
    """As a reader of the file finds it."""
    return json.loads(json.dumps(entry_of(FRAME, result, SPEC, name='a')))


def one_object(**attributes):
    return Detections(
        np.array([[1, 2, 30, 40]], np.float32),
        np.array([0.5], np.float32),
        np.array([1], np.int64),
        (64, 48),
        **attributes,
    )


def test_nothing_found():
    assert entry(Detections.empty((64, 48)))['detections'] == []


def test_an_object_has_only_what_the_model_gives():
    (found,) = entry(one_object())['detections']
    assert found == {'class_id': 1, 'class': 'dog', 'score': 0.5, 'box': [1, 2, 30, 40]}


def test_key_points_turned_boxes_and_embeddings_come_with_the_object():
    (found,) = entry(
        one_object(
            key_points=np.array([[[3, 4, 0.5], [-5, 6, 0.25]]], np.float32),
            rotated_boxes=np.array([[10, 20, 8, 4, 0.25]], np.float32),
            embeddings=np.array([[0.6, -0.8]], np.float32),
        )
    )['detections']
    assert found['key_points'] == [[3, 4, 0.5], [-5, 6, 0.25]]
    assert found['rotated_box'] == [10, 20, 8, 4, 0.25]
    assert found['embedding'] == pytest.approx([0.6, -0.8])


def test_classes_of_an_image_stand_in_order():
    result = Classification(
        np.array([1, 0], np.int64), np.array([0.75, 0.25], np.float32), (64, 48)
    )
    assert entry(result)['classes'] == [
        {'class_id': 1, 'class': 'dog', 'score': 0.75},
        {'class_id': 0, 'class': 'cat', 'score': 0.25},
    ]


def test_an_image_that_is_embedded_has_one_vector():
    found = entry(Embedding(np.array([0.6, 0.8], np.float32), (64, 48)))
    assert found['embedding'] == pytest.approx([0.6, 0.8])
    assert 'detections' not in found


def test_a_map_of_classes_has_shares():
    classes = np.zeros((48, 64), np.uint8)
    classes[:, :16] = 1
    assert entry(SegmentationMap(classes))['class_shares'] == {'cat': 0.75, 'dog': 0.25}
