"""Real files for the sources to read."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A grey image whose level tells the frames of a test apart."""
    return np.full((height, width, 3), 20 + number * 20 % 220, np.uint8)


@pytest.fixture
def write_image(tmp_path):
    def write(name, number=0, width=64, height=48):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), picture(number, width, height))
        return path

    return write


@pytest.fixture
def write_video(tmp_path):
    def write(name='clip.avi', frames=10, rate=20.0, codec='MJPG'):
        path = tmp_path / name
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate, (64, 48))
        assert writer.isOpened()
        for number in range(frames):
            writer.write(picture(number))
        writer.release()
        return path

    return write


@pytest.fixture
def write_bag(tmp_path):
    """Writes a bag of {topic: [message, ...]} with rosbags itself; messages are a tenth apart."""
    types = get_typestore(Stores.ROS2_JAZZY)

    def write(topics, storage=StoragePlugin.MCAP, name='recording'):
        path = tmp_path / name
        with Writer(path, version=9, storage_plugin=storage) as writer:
            for topic, messages in topics.items():
                kind = messages[0].__msgtype__
                connection = writer.add_connection(topic, kind, typestore=types)
                for index, message in enumerate(messages):
                    data = types.serialize_cdr(message, kind)
                    writer.write(connection, index * 100_000_000, data)
        return path

    write.types = types
    return write


@pytest.fixture
def image_message(write_bag):
    """Makes a sensor_msgs/Image of 4x2 mono16 pixels, big-endian, with padded rows."""
    types = write_bag.types.types
    header, stamp = types['std_msgs/msg/Header'], types['builtin_interfaces/msg/Time']

    def make(number=0, sec=1700000000):
        return types['sensor_msgs/msg/Image'](
            header(stamp(sec, number * 1000), 'left_optical'),
            2,
            4,
            'mono16',
            1,
            10,
            np.arange(20, dtype=np.uint8) + number,
        )

    return make
