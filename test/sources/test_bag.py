import subprocess
import sys

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from trt_perception.errors import MissingDependencyError, SourceError
from trt_perception.frames import COMPRESSED
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.bag import BagSource


def test_a_folder_that_is_no_bag_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r'cannot be read as a ROS 2 bag.*\.mcap and \.db3 files'):
        BagSource(tmp_path)


def test_a_bag_that_is_not_there_is_told_in_these_words(tmp_path):
    with pytest.raises(SourceError, match='none: there is no such file or folder'):
        BagSource(tmp_path / 'none')


def test_a_bag_without_metadata_can_be_named_by_its_file(write_bag, image_message):
    path = write_bag({'/image': [image_message(0)]}, StoragePlugin.MCAP)
    (path / 'metadata.yaml').unlink()
    [file] = path.iterdir()
    with pytest.raises(SourceError) as refused:
        BagSource(path)
    assert str(refused.value).endswith(f'`ros2 bag reindex {path}`, or name a file: {file}')
    assert len(list(BagSource(file))) == 1


@pytest.mark.parametrize('storage', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize('whole', [True, False])
def test_frames_are_as_recorded(write_bag, image_message, storage, whole):
    path = write_bag({'/camera/image_raw': [image_message(n) for n in range(3)]}, storage)
    if not whole:
        (path,) = (file for file in path.iterdir() if file.suffix != '.yaml')
    source = BagSource(path)
    assert (source.count, source.topic, source.stamps) == (3, '/camera/image_raw', 'absolute')
    frames = list(source)
    assert [f.stamp_ns for f in frames] == [1700000000 * 10**9 + n * 1000 for n in range(3)]
    frame = frames[1]
    assert (frame.width, frame.height, frame.step) == (4, 2, 10)
    assert (frame.encoding, frame.big_endian, frame.frame_id) == ('mono16', True, 'left_optical')
    np.testing.assert_array_equal(frame.data, np.arange(1, 21, dtype=np.uint8))
    assert to_bgr(frame).shape == (2, 4, 3)
    assert len(list(source)) == 3


def compressed(types, image):
    header, stamp = types['std_msgs/msg/Header'], types['builtin_interfaces/msg/Time']
    data = cv2.imencode('.png', image)[1].reshape(-1)
    return types['sensor_msgs/msg/CompressedImage'](header(stamp(1, 5), 'c'), 'png', data)


def test_compressed_images_stay_compressed(write_bag):
    image = np.full((5, 7, 3), (10, 20, 30), np.uint8)
    path = write_bag({'/image/compressed': [compressed(write_bag.types.types, image)]})
    (frame,) = BagSource(path)
    assert (frame.encoding, frame.stamp_ns, frame.frame_id) == (COMPRESSED, 1_000_000_005, 'c')
    np.testing.assert_array_equal(to_bgr(frame), image)


def test_several_image_topics_are_listed_and_one_can_be_chosen(write_bag, image_message):
    path = write_bag({'/left': [image_message(1)], '/right': [image_message(2)]})
    with pytest.raises(SourceError, match=r'2 image topics.*--topic: /left, /right'):
        BagSource(path)
    (frame,) = BagSource(path, '/right')
    assert frame.data[0] == 2
    with pytest.raises(SourceError, match=r"no image topic '/up'.*/left, /right"):
        BagSource(path, '/up')


def test_a_bag_without_images_says_what_it_holds(write_bag):
    text = write_bag.types.types['std_msgs/msg/String']
    path = write_bag({'/chatter': [text('hello')]})
    with pytest.raises(SourceError, match=r'/chatter \(std_msgs/msg/String\)'):
        BagSource(path)


def test_a_bag_that_was_never_finished_is_refused_with_the_remedy(write_bag, image_message):
    path = write_bag({'/image': [image_message()]}) / 'recording.mcap'
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(SourceError, match='mcap recover'):
        BagSource(path)


def test_a_message_that_cannot_be_read_is_skipped(write_bag, image_message, tmp_path):
    from rosbags.rosbag2 import Writer

    types = write_bag.types
    kind = 'sensor_msgs/msg/Image'
    good = bytes(types.serialize_cdr(image_message(), kind))
    with Writer(tmp_path / 'mixed', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/image', kind, typestore=types)
        for index, data in enumerate((good, good[:30], good)):
            writer.write(connection, index, data)
    source = BagSource(tmp_path / 'mixed')
    assert len(list(source)) == 2
    assert source.skipped == {'unreadable': 1}


def test_damage_within_the_file_ends_the_bag_there(write_bag, image_message):
    messages = [image_message(n) for n in range(3)]
    path = write_bag({'/image': messages}) / 'recording.mcap'
    content = bytearray(path.read_bytes())
    at = content.index(bytes(messages[1].data))
    content[at - 200 : at] = bytes(200)
    path.write_bytes(bytes(content))
    source = BagSource(path)
    assert len(list(source)) < 3
    assert sum(source.skipped.values()) >= 1


def test_without_rosbags_the_error_names_it(write_bag, image_message):
    path = write_bag({'/image': [image_message()]})
    code = (
        'import sys; sys.modules["rosbags"] = None\n'
        'from trt_perception.errors import MissingDependencyError\n'
        'from trt_perception.sources.opening import open_source\n'
        f'try: open_source({str(path)!r})\n'
        'except MissingDependencyError as error: print(error)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'pip install rosbags' in done.stdout, done.stderr
    assert issubclass(MissingDependencyError, Exception)
