"""From key points to messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.msg import KeyPoints2DArray
from trt_perception.nodes.key_point_messages import KeyPointMessages
from trt_perception.results import Detections

HEADER = Header(frame_id='camera')
SPEC = ModelSpec(
    name='pose',
    onnx=Path('pose.onnx'),
    family='yolov8',
    task='pose',
    input=InputSpec(size=(64, 48)),
    classes=(ClassSpec(name='person'), ClassSpec(name='dog')),
    key_points=('nose', 'tail'),
    skeleton=((0, 1),),
)
NAMES = SPEC.class_names
KEPT = KeyPointMessages(SPEC)


def some(points, class_ids, track_ids=None) -> Detections:
    count = len(class_ids)
    return Detections(
        np.zeros((count, 4), np.float32),
        np.linspace(0.5, 0.25, count, dtype=np.float32),
        np.array(class_ids, np.int64),
        (64, 48),
        track_ids=track_ids,
        key_points=np.asarray(points, np.float32),
    )


def test_none():
    message = KeyPointMessages(SPEC).build(Detections.empty((64, 48)), NAMES, HEADER)
    assert message.header == HEADER
    assert message.names == ['nose', 'tail']
    assert list(message.skeleton) == [0, 1]
    assert message.objects == []


def test_each_object_has_its_points_and_says_whose_they_are():
    points = [[[1, 2, 0.5], [-3, 4, 0.25]], [[5, 6, 1], [7, 8, 0]]]
    found = some(points, [0, 1], np.array([7, -1]))
    message = KeyPointMessages(SPEC).build(found, NAMES, HEADER)
    person, dog = message.objects
    assert (person.id, person.class_id, person.score) == ('7', 'person', 0.5)
    assert (dog.id, dog.class_id, dog.score) == ('', 'dog', 0.25)
    assert [(p.x, p.y, p.confidence) for p in person.points] == [(1, 2, 0.5), (-3, 4, 0.25)]


@settings(max_examples=30)
@given(st.integers(0, 5), st.integers(0, 3))
def test_nothing_of_the_message_before_is_left(objects, points):
    """The objects are kept from one message to the next; as sent, they equal fresh ones."""
    values = np.arange(objects * points * 3).reshape(objects, points, 3)
    found = some(values, [i % 2 for i in range(objects)])
    sent = serialize_message(KEPT.build(found, NAMES, HEADER))
    fresh = KeyPointMessages(SPEC).build(found, NAMES, HEADER)
    assert deserialize_message(sent, KeyPoints2DArray) == fresh
    assert [len(o.points) for o in fresh.objects] == [points] * objects
