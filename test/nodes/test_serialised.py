"""Bytes that rclpy reads as what it would have written itself."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_perception.nodes import serialised
from trt_perception.nodes.messages import DetectionMessages, image_message
from trt_perception.nodes.serialised import DetectionBytes, detection_bytes, image_bytes
from trt_perception.results import Detections

NAMES = ('a', 'dog', 'traffic light', 'Straße', '')
HEADER = Header(frame_id='camera')
TEXTS = st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=12)


def some(count: int, *, tracked: bool = False, turned: bool = False, seed: int = 0) -> Detections:
    rng = np.random.default_rng(seed)
    return Detections(
        rng.uniform(0, 640, (count, 4)).astype(np.float32),
        rng.random(count, np.float32),
        rng.integers(0, len(NAMES), count),
        (640, 480),
        rotated_boxes=rng.uniform(-1, 99, (count, 5)).astype(np.float32) if turned else None,
        track_ids=rng.integers(-1, 2000, count) if tracked else None,
    )


def test_the_bytes_are_known_to_be_right_here():
    """Else all that follows would look at objects."""
    assert serialised.detections_agree()
    assert serialised.images_agree()


def test_none():
    data = DetectionBytes().build(Detections.empty((640, 480)), NAMES, HEADER)
    assert deserialize_message(data, Detection2DArray) == Detection2DArray(header=HEADER)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 9), st.booleans(), st.booleans(), TEXTS, st.integers(0, 2**31 - 1),
    st.integers(0, 99),
)  # fmt: skip
def test_any_objects(count, tracked, turned, frame_id, sec, seed):
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = sec, 999_999_999
    found = some(count, tracked=tracked, turned=turned, seed=seed)
    wanted = DetectionMessages().build(found, NAMES, header)
    data = detection_bytes(found, NAMES, header)
    assert deserialize_message(data, Detection2DArray) == wanted


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), TEXTS)
def test_any_image(height, width, frame_id):
    header = Header(frame_id=frame_id)
    rng = np.random.default_rng(height * 10 + width)
    for encoding, kind, channels in (('mono8', 'u1', ()), ('mono16', 'u2', ()), ('rgb8', 'u1', 3)):
        shape = (height, width, channels) if channels else (height, width)
        pixels = rng.integers(0, 255, shape).astype(kind)
        data = image_bytes(pixels, encoding, header)
        assert deserialize_message(data, Image) == image_message(pixels, encoding, header)


def test_rows_that_do_not_lie_one_after_the_other():
    pixels = np.arange(80, dtype=np.uint8).reshape(8, 10)[::2, 1:7]
    data = image_bytes(pixels, 'mono8', HEADER)
    assert deserialize_message(data, Image) == image_message(pixels, 'mono8', HEADER)


def test_where_the_bytes_would_be_wrong_objects_are_published(monkeypatch):
    """As a later version of vision_msgs could have it."""
    monkeypatch.setattr(serialised, 'detections_agree', lambda: False)
    monkeypatch.setattr(serialised, 'images_agree', lambda: False)
    assert isinstance(DetectionBytes().build(some(2), NAMES, HEADER), Detection2DArray)
    assert isinstance(image_bytes(np.zeros((2, 2), np.uint8), 'mono8', HEADER), Image)


def test_wrong_bytes_are_noticed(monkeypatch):
    right = serialised.detection_bytes
    for wrong in (lambda *a: right(*a)[:-9], lambda *a: right(*a).replace(b'traffic', b'graffic')):
        monkeypatch.setattr(serialised, 'detection_bytes', wrong)
        assert not serialised.detections_agree.__wrapped__()


def test_a_hundred_objects_take_less_than_a_millisecond():
    build, found = DetectionBytes().build, some(100, tracked=True)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        build(found, NAMES, HEADER)
        times.append(time.perf_counter() - began)
    assert min(times) < 1e-3
