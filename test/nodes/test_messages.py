"""From results to messages."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from nodes.graph import mask_pixels
from trt_perception.nodes.messages import (
    DetectionMessages,
    classification_message,
    embeddings_message,
    image_message,
)
from trt_perception.results import Classification, Detections

HEADER = Header(frame_id='camera')
NAMES = ('car', 'dog', 'cat')
KEPT = DetectionMessages()


def some(boxes, scores, class_ids, track_ids=None) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(class_ids, np.int64),
        (640, 480),
        None,
        None if track_ids is None else np.array(track_ids, np.int64),
    )


def test_none():
    message = DetectionMessages().build(Detections.empty((640, 480)), NAMES, HEADER)
    assert message == Detection2DArray(header=HEADER)


def test_one():
    message = DetectionMessages().build(some([10, 20, 40, 80], [0.5], [1]), NAMES, HEADER)
    [detection] = message.detections
    assert detection.header == HEADER
    assert detection.id == ''
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (25, 50)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (30, 60)
    [result] = detection.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ('dog', 0.5)


@pytest.mark.parametrize('degrees', [-60, -15, 0, 30, 75])
def test_theta_turns_as_a_rectangle_that_is_rendered(degrees):
    """A rectangle is painted by its corners; OpenCV measures its angle from the pixels."""
    center, size = (320.0, 240.0), (200.0, 60.0)
    along = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    across = np.array([-along[1], along[0]])
    corners = [
        np.array(center) + a * along * size[0] / 2 + b * across * size[1] / 2
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    picture = np.zeros((480, 640), np.uint8)
    cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], 255)
    # The long side's direction in the pixels, y down: turned towards y for a positive angle.
    y, x = np.nonzero(picture)
    measured = np.arctan2(*np.linalg.eigh(np.cov(x, y))[1][::-1, 1])
    found = some([0, 0, 1, 1], [0.5], [0])
    turned = np.array([[*center, *size, np.radians(degrees)]], np.float32)
    found = dataclasses.replace(found, rotated_boxes=turned)
    [detection] = DetectionMessages().build(found, NAMES, HEADER).detections
    apart = (detection.bbox.center.theta - measured + np.pi / 2) % np.pi - np.pi / 2
    assert abs(apart) < np.radians(1)
    assert (detection.bbox.size_x, detection.bbox.size_y) == size
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == center


def test_an_upright_box_after_a_turned_one_is_upright():
    messages = DetectionMessages()
    found = some([0, 0, 4, 2], [0.5], [0])
    turned = np.array([[2, 1, 4, 2, 0.5]], np.float32)
    messages.build(dataclasses.replace(found, rotated_boxes=turned), NAMES, HEADER)
    [detection] = messages.build(found, NAMES, HEADER).detections
    assert detection.bbox.center.theta == 0


def test_a_classification_lists_its_classes_in_order():
    result = Classification(np.array([2, 0]), np.array([0.75, 0.25], np.float32), (640, 480))
    message = classification_message(result, NAMES, HEADER)
    assert message.header == HEADER
    assert [(h.class_id, h.score) for h in message.results] == [('cat', 0.75), ('car', 0.25)]


@pytest.mark.parametrize('count', [0, 1, 3])
def test_embeddings_lie_one_after_the_other(count):
    vectors = np.arange(count * 4, dtype=np.float32).reshape(count, 4)
    message = embeddings_message(vectors, HEADER)
    assert message.size == 4
    np.testing.assert_array_equal(np.array(message.values).reshape(-1, message.size), vectors)


def test_track_ids_are_text_and_empty_where_untracked():
    detections = some(np.zeros((3, 4)), [0.9, 0.8, 0.7], [0, 1, 2], [7, -1, 0])
    message = DetectionMessages().build(detections, NAMES, HEADER)
    assert [detection.id for detection in message.detections] == ['7', '', '0']


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1, width=32)), max_size=12))
def test_nothing_of_the_message_before_is_left(objects):
    """The objects are kept from one message to the next; as sent, they equal fresh ones."""
    boxes = [[i, 2 * i, 3 * i + 1, 4 * i + 2] for i in range(len(objects))]
    scores = [score for _, score in objects]
    ids = [index for index, _ in objects]
    tracks = [index - 1 for index in ids] if len(objects) % 2 else None
    detections = some(boxes, scores, ids, tracks)
    header = Header(frame_id=str(len(objects)))
    sent = serialize_message(KEPT.build(detections, NAMES, header))
    fresh = DetectionMessages().build(detections, NAMES, header)
    assert deserialize_message(sent, Detection2DArray) == fresh
    assert len(fresh.detections) == len(objects)


@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        ('mono8', np.arange(12, dtype=np.uint8).reshape(3, 4)),
        ('mono16', np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000),
        ('mono16', np.arange(12, dtype='>u2').reshape(3, 4) * 5000),
        ('rgb8', np.arange(36, dtype=np.uint8).reshape(3, 4, 3)),
        ('mono8', np.arange(48, dtype=np.uint8).reshape(6, 8)[::2, ::2]),
        ('mono8', np.zeros((0, 0), np.uint8)),
    ],
    ids=['mono8', 'mono16', 'big endian', 'rgb8', 'rows apart', 'empty'],
)
def test_an_image_holds_its_pixels(encoding, pixels):
    message = image_message(pixels, encoding, HEADER)
    assert message.header == HEADER
    assert message.step * message.height == len(message.data)
    assert message.is_bigendian == 0
    np.testing.assert_array_equal(mask_pixels(message), pixels)
