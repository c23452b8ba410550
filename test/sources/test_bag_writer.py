import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from trt_perception.errors import OutputError
from trt_perception.sources.bag import BagSource
from trt_perception.sources.bag_writer import BagWriter

POINT = 'float64 x\nfloat64 y\n'
BOX = 'vision_msgs/Point2D center\nfloat64 width\n'
DEFINITIONS = {'vision_msgs/msg/Box': BOX, 'vision_msgs/msg/Point2D': POINT}
STRING = 'std_msgs/msg/String'


def string_cdr(text):
    types = get_typestore(Stores.ROS2_JAZZY)
    return bytes(types.serialize_cdr(types.types[STRING](text), STRING))


def information(path):
    return yaml.safe_load((path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']


def test_a_bag_without_messages_can_be_read(tmp_path):
    BagWriter(tmp_path / 'bag').close()
    with AnyReader([tmp_path / 'bag']) as reader:
        assert reader.connections == []
    assert information(tmp_path / 'bag')['message_count'] == 0


@pytest.mark.parametrize('compress', [True, False])
def test_messages_come_back_with_topic_time_and_bytes(tmp_path, compress):
    with BagWriter(tmp_path / 'bag', compress=compress) as writer:
        writer.write('/a', STRING, string_cdr('one'), 10)
        writer.write('/b', STRING, string_cdr('two'), 20)
        writer.write('/a', STRING, string_cdr('three'), 30)
    with AnyReader([tmp_path / 'bag']) as reader:
        found = [
            (c.topic, t, reader.deserialize(raw, c.msgtype).data) for c, t, raw in reader.messages()
        ]
    assert found == [('/a', 10, 'one'), ('/b', 20, 'two'), ('/a', 30, 'three')]


def test_types_that_the_distribution_lacks_are_embedded(tmp_path):
    types = get_typestore(Stores.ROS2_JAZZY)
    for name, text in DEFINITIONS.items():
        types.register(get_types_from_msg(text, name))
    box, point = types.types['vision_msgs/msg/Box'], types.types['vision_msgs/msg/Point2D']
    cdr = bytes(types.serialize_cdr(box(point(1.5, 2.5), 3.5), 'vision_msgs/msg/Box'))
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_type_definitions(DEFINITIONS)
        writer.write('/box', 'vision_msgs/msg/Box', cdr, 1)
    # The reader knows only what is in the bag.
    with AnyReader([tmp_path / 'bag']) as reader:
        ((connection, _, raw),) = reader.messages()
        message = reader.deserialize(raw, connection.msgtype)
    assert (message.center.x, message.center.y, message.width) == (1.5, 2.5, 3.5)
    assert 'MSG: vision_msgs/Point2D' in connection.msgdef.data


def test_metadata_is_what_a_recorder_of_that_distribution_writes(tmp_path):
    with BagWriter(tmp_path / 'bag', distro='kilted') as writer:
        writer.add_topic('/label_info', STRING, latched=True)
        writer.write('/label_info', STRING, string_cdr('x'), 1_000)
        writer.write('/text', STRING, string_cdr('y'), 5_000)
    found = information(tmp_path / 'bag')
    assert found['version'] == 9
    assert found['storage_identifier'] == 'mcap'
    assert found['relative_file_paths'] == ['bag.mcap']
    assert found['ros_distro'] == 'kilted'
    assert found['message_count'] == 2
    assert found['starting_time'] == {'nanoseconds_since_epoch': 1_000}
    assert found['duration'] == {'nanoseconds': 4_000}
    assert found['compression_mode'] == found['compression_format'] == ''
    topics = {t['topic_metadata']['name']: t for t in found['topics_with_message_count']}
    metadata = topics['/label_info']['topic_metadata']
    assert metadata['serialization_format'] == 'cdr'
    assert metadata['type_description_hash'].startswith('RIHS01_')
    (qos,) = metadata['offered_qos_profiles']
    assert (qos['durability'], qos['reliability']) == ('transient_local', 'reliable')
    assert qos['deadline'] == {'sec': 9223372036, 'nsec': 854775807}
    (qos,) = topics['/text']['topic_metadata']['offered_qos_profiles']
    assert qos['durability'] == 'volatile'


def test_an_image_bag_is_a_source(tmp_path, image_message, write_bag):
    kind = 'sensor_msgs/msg/Image'
    cdr = bytes(write_bag.types.serialize_cdr(image_message(4), kind))
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/image', kind, cdr, 1)
    (frame,) = BagSource(tmp_path / 'bag')
    np.testing.assert_array_equal(frame.data, np.arange(4, 24, dtype=np.uint8))


def test_an_existing_folder_is_never_overwritten(tmp_path):
    with pytest.raises(OutputError, match='exists already'):
        BagWriter(tmp_path)


def test_unknown_types_and_distributions_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"'hydro'.*jazzy"):
        BagWriter(tmp_path / 'old', distro='hydro')
    with BagWriter(tmp_path / 'bag') as writer:
        with pytest.raises(OutputError, match='no_msgs/msg/Nothing of /x is unknown'):
            writer.write('/x', 'no_msgs/msg/Nothing', b'', 0)
        writer.add_type_definitions({'vision_msgs/msg/Box': BOX})
        with pytest.raises(OutputError, match='Point2D'):
            writer.write('/x', 'vision_msgs/msg/Box', b'', 0)
        with pytest.raises(OutputError, match='not a message definition'):
            writer.add_type_definitions({'a_msgs/msg/A': 'uint8 x='})
        writer.write('/text', STRING, string_cdr('a'), 0)
        with pytest.raises(OutputError, match='/text holds std_msgs/msg/String'):
            writer.write('/text', 'sensor_msgs/msg/Image', b'', 0)


def test_closing_twice_is_harmless(tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    writer.close()
    writer.close()
