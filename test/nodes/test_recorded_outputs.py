"""What nodes publish, as messages for a bag that reads without this package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from vision_msgs.msg import Detection2DArray

from networks import write_constant_network
from trt_perception.frames import Frame
from trt_perception.msg import Embeddings, KeyPoints2DArray
from trt_perception.nodes.recorded_outputs import recorded_outputs
from trt_perception.nodes.recorder import foreign_definitions
from trt_perception.pipeline.perception import open_pipeline
from trt_perception.sources.bag_writer import BagWriter

FRAME = Frame.from_bgr(
    np.full((96, 128, 3), 90, np.uint8), stamp_ns=1_700_000_000_000_000_005, frame_id='front'
)


@pytest.fixture
def pose(tmp_path):
    """Finds a person with two key points in everything."""
    rows = np.zeros((11, 62), np.float32)
    rows[:, 0] = (32, 24, 20, 10, 0.9, 20, 10, 0.75, 70, -4, 0.25)
    metadata = {'task': 'pose', 'names': "['person']", 'kpt_shape': '[2, 3]'}
    write_constant_network(tmp_path / 'pose.onnx', {'output0': rows}, metadata=metadata)
    return opened(tmp_path / 'pose.onnx')


@pytest.fixture
def embed(tmp_path):
    values = {'output0': np.arange(64, dtype=np.float32)}
    metadata = {'task': 'embed', 'family': 'arcface', 'mean': '0', 'scale': '1'}
    write_constant_network(tmp_path / 'embed.onnx', values, metadata=metadata)
    return opened(tmp_path / 'embed.onnx')


def opened(path):
    return open_pipeline(path, backend='onnxruntime-cpu', threads=1)


def results(pipeline, camera=''):
    (perceived,) = pipeline.process([FRAME])
    return recorded_outputs(pipeline, ['rear', camera]).results(camera, perceived, FRAME)


def test_nothing_found_is_an_empty_array(pose):
    pose.settings = replace(pose.settings, score=0.95)
    detections, _ = results(pose)
    message = deserialize_message(detections.cdr, Detection2DArray)
    assert message.detections == []
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1_700_000_000, 5)
    assert message.header.frame_id == 'front'


def test_topics_are_those_of_the_node_and_the_camera(pose):
    detections, key_points = results(pose, 'front')
    assert detections.topic == '/detect_node/front/detections'
    assert key_points.topic == '/detect_node/front/key_points'
    assert key_points.type_name == 'trt_perception/msg/KeyPoints2DArray'
    (person,) = deserialize_message(key_points.cdr, KeyPoints2DArray).objects
    assert [(p.x, p.y) for p in person.points] == [(40, 20), (140, -8)]


def test_messages_of_this_package_can_be_read_without_it(embed, tmp_path):
    (message,) = results(embed)
    assert deserialize_message(message.cdr, Embeddings).size == 64
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_type_definitions(foreign_definitions())
        writer.write(message.topic, message.type_name, message.cdr, 1)
    with AnyReader([tmp_path / 'bag']) as reader:
        ((connection, _, raw),) = reader.messages()
        found = reader.deserialize(raw, connection.msgtype)
    assert connection.topic == '/classify_node/embeddings'
    assert np.linalg.norm(found.values) == pytest.approx(1)


@pytest.mark.parametrize(('name', 'asked'), [('street_instance', True), ('street_semantic', False)])
def test_of_pictures_only_the_ids_of_objects_are_recorded(name, asked):
    pipeline = opened(name)
    recorded_outputs(pipeline, [''])
    assert pipeline.pictures == asked
    pipeline.close()
