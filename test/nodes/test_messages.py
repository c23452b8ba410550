"""From results to messages."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from nodes.graph import mask_pixels
from trt_perception.nodes.messages import DetectionMessages, image_message
from trt_perception.results import Detections

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
