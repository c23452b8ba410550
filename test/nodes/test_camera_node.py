"""The camera node over DDS, from files of known content."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from nodes.graph import LATCHED, stamp_of
from trt_perception.frames import Frame
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.bag_writer import BagWriter

WIDTH, HEIGHT = 64, 48
DEFAULTS = {
    'source': '',
    'rate': 50.0,
    'size': '',
    'encoding': 'bgr8',
    'loop': True,
    'count': 0,
    'stamp': 'now',
    'frame_id': 'camera',
    'calibration': '',
    'topic': '',
}
CALIBRATION = """\
image_width: 128
image_height: 96
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [100, 0, 63.5, 0, 100, 47.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [90, 0, 63.5, 0, 0, 90, 47.5, 0, 0, 0, 1, 0]}
"""


def picture(number: int) -> np.ndarray:
    """A gradient with a grey square whose shade is the picture's number times 20."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, :, 2] = np.arange(WIDTH) * 3
    image[8:40, 8:56] = number * 20 + 10
    return image


def number_of(message: Image) -> int:
    return round((int(pixels_of(message)[24, 32, 0]) - 10) / 20)


def pixels_of(message: Image) -> np.ndarray:
    frame = Frame(
        np.frombuffer(message.data, np.uint8),
        message.height,
        message.width,
        message.step,
        message.encoding,
    )
    return to_bgr(frame)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('pictures')
    for number in range(4):
        cv2.imwrite(str(folder / f'{number}.png'), picture(number))
    return folder


@pytest.fixture(scope='module')
def process(graph):
    remaps = {'image': '/cam/image', 'image/compressed': '/cam/image/compressed'}
    remaps['camera_info'] = '/cam/camera_info'
    with graph.running('camera_node', 'cam', {'autostart': False}, remaps) as node:
        node.wait_state('unconfigured')
        yield node


@pytest.fixture
def camera(process, folder):
    """Configures and activates the node with parameters; ends with an unconfigured node."""

    def start(**parameters):
        for name, value in (DEFAULTS | {'source': str(folder)} | parameters).items():
            result = process.set(name, value)
            assert result.successful, result.reason
        assert process.change('configure')
        assert process.change('activate')
        return process

    yield start
    if process.state() == 'active':
        assert process.change('deactivate')
    if process.state() == 'inactive':
        assert process.change('cleanup')
    assert process.state() == 'unconfigured'


@pytest.fixture
def images(graph):
    collected = graph.collect(Image, '/cam/image', 50)
    yield collected
    collected.close()


def numbers(graph, images, count: int) -> list[int]:
    graph.wait_for(lambda: len(images.messages) >= count, f'{count} images')
    return [number_of(message) for message in images.messages[:count]]


def test_an_empty_folder_is_told_and_images_put_there_later_are_found(
    graph, camera, images, tmp_path
):
    node = camera(source=str(tmp_path))
    status = node.diagnostics(lambda s: s.level == b'\x02')
    assert str(tmp_path) in status.message
    cv2.imwrite(str(tmp_path / 'late.png'), picture(3))
    assert numbers(graph, images, 1) == [3]
    assert node.state() == 'active'


def test_image_and_camera_info_share_stamp_and_frame(graph, camera, images):
    infos = graph.collect(CameraInfo, '/cam/camera_info', 50)
    camera(frame_id='left/optical', rate=20.0)
    image = images.wait()
    info = infos.wait(lambda m: stamp_of(m) == stamp_of(image))
    infos.close()
    assert image.header.frame_id == info.header.frame_id == 'left/optical'
    assert (info.width, info.height) == (image.width, image.height) == (WIDTH, HEIGHT)
    assert abs(stamp_of(image) - graph.node.get_clock().now().nanoseconds) < 20e9
    assert info.k[2] == (WIDTH - 1) / 2
    assert info.k[0] == pytest.approx(WIDTH / 2 / np.tan(np.radians(30)))


def test_every_picture_arrives_unchanged_and_in_order(graph, camera, images):
    camera(rate=20.0)
    got = numbers(graph, images, 10)
    assert got == [(got[0] + index) % 4 for index in range(10)]
    for message in images.messages[:4]:
        np.testing.assert_array_equal(pixels_of(message), picture(number_of(message)))
    stamps = [stamp_of(message) for message in images.messages]
    assert stamps == sorted(set(stamps))


def test_without_loop_it_finishes_and_stays_alive(graph, camera, images):
    node = camera(loop=False, rate=5.0)
    status = node.diagnostics(lambda s: 'finished' in s.message)
    assert status.level == b'\x00'
    assert 'finished after 4 images' in status.message
    assert node.state() == 'active'
    assert node.stats().frames_out == 4
    # The first may have been sent before the subscription was known.
    assert [number_of(m) for m in images.messages] in ([0, 1, 2, 3], [1, 2, 3])


def test_the_count_ends_an_endless_source(camera):
    node = camera(count=6, loop=True)
    assert 'finished after 6 images' in node.diagnostics(lambda s: 'fin' in s.message).message
    assert node.stats().frames_out == 6


@pytest.mark.parametrize(
    ('encoding', 'step', 'largest_difference'),
    [('rgb8', WIDTH * 3, 0), ('bgra8', WIDTH * 4, 0), ('yuv422_yuy2', WIDTH * 2, 8)],
)
def test_other_encodings_hold_the_same_picture(camera, images, encoding, step, largest_difference):
    camera(encoding=encoding)
    message = images.wait()
    assert (message.encoding, message.step) == (encoding, step)
    square = np.s_[10:38, 10:54]
    difference = cv2.absdiff(pixels_of(message), picture(number_of(message)))
    assert difference[square].max() <= largest_difference


def test_size_resizes(camera, images):
    camera(size='32x24')
    message = images.wait()
    assert (message.width, message.height, message.step) == (32, 24, 96)


def test_jpeg_is_made_only_while_somebody_looks(graph, camera):
    node = camera()
    before = node.stats(lambda s: s.frames_out > 2)
    assert 'compressed' not in [stage.stage for stage in before.stages]
    jpegs = graph.collect(CompressedImage, '/cam/image/compressed', 10)
    message = jpegs.wait()
    decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    jpegs.close()
    assert message.format == 'jpeg'
    assert message.header.frame_id == 'camera'
    differences = [np.abs(decoded.astype(int) - picture(number)).mean() for number in range(4)]
    assert min(differences) < 4


def test_a_calibration_file_is_scaled_to_the_image(graph, camera, tmp_path):
    (tmp_path / 'front.yaml').write_text(CALIBRATION)
    infos = graph.collect(CameraInfo, '/cam/camera_info')
    camera(calibration=str(tmp_path / 'front.yaml'))
    info = infos.wait()
    infos.close()
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    assert info.distortion_model == 'plumb_bob'
    assert list(info.d) == [-0.3, 0.1, 0, 0, 0]
    assert list(info.k) == [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1]


def test_a_bag_may_keep_its_own_stamps(graph, camera, images, tmp_path):
    from rclpy.serialization import serialize_message

    kind = 'sensor_msgs/msg/Image'
    stamps = [1_700_000_000_123_456_789 + index * 40_000_000 for index in range(3)]
    with BagWriter(tmp_path / 'drive') as bag:
        for index, stamp in enumerate(stamps):
            message = Image(height=HEIGHT, width=WIDTH, encoding='bgr8', step=WIDTH * 3)
            message.header.frame_id = 'recorded'
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
            message.data = picture(index).tobytes()
            bag.write('/front/image_raw', kind, serialize_message(message), stamp)
    camera(source=str(tmp_path / 'drive'), stamp='source', loop=False, rate=5.0)
    last = images.wait(lambda m: number_of(m) == 2)
    assert stamp_of(last) == stamps[2]
    assert last.header.frame_id == 'recorded'


def test_a_damaged_picture_is_left_out_and_counted(graph, camera, images, tmp_path):
    for number in (0, 2):
        cv2.imwrite(str(tmp_path / f'{number}.png'), picture(number))
    (tmp_path / '1.png').write_bytes(b'\x89PNG but no more')
    camera(source=str(tmp_path))
    assert set(numbers(graph, images, 6)) == {0, 2}


def test_deactivate_stops_and_activate_begins_again(graph, camera, images):
    node = camera(rate=20.0)
    numbers(graph, images, 2)
    assert node.change('deactivate')
    sent = node.stats().frames_out
    assert node.stats().frames_out == sent
    assert node.change('activate')
    begun = node.stats(lambda s: 0 < s.frames_out < sent + 20)
    assert begun.frames_out > 0


def test_enable_pauses_and_counts(graph, camera, images):
    node = camera()
    images.wait()
    node.enable(False)
    stats = node.stats(lambda s: s.frames_dropped > 0)
    assert list(stats.drop_causes) == ['paused']
    images.messages.clear()
    node.enable(True)
    images.wait()


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('size', '12', 'WIDTHxHEIGHT'),
        ('size', '0x10', 'WIDTHxHEIGHT'),
        ('encoding', 'jpeg2000', 'one of bgr8'),
        ('rate', -1.0, 'Min: 0.0'),
        ('stamp', 'yesterday', 'one of now, source'),
        ('jpeg_quality', 101, 'Max: 100'),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(process, name, value, words):
    before = process.get(name)
    result = process.set(name, value)
    assert not result.successful
    assert words in result.reason
    assert process.get(name) == before


def test_a_size_that_the_encoding_cannot_have_is_refused(process):
    assert process.set('encoding', 'nv12').successful
    result = process.set('size', '33x24')
    assert not result.successful
    assert 'nv12' in result.reason


def test_a_wrong_calibration_refuses_to_configure_and_says_why(process, tmp_path):
    for name, value in (DEFAULTS | {'calibration': str(tmp_path / 'gone.yaml')}).items():
        process.set(name, value)
    assert not process.change('configure')
    assert process.state() == 'unconfigured'
    assert 'gone.yaml: there is no such file' in process.diagnostics(lambda s: s.level).message


def test_the_source_cannot_change_while_configured(camera):
    node = camera()
    result = node.set('source', '/dev/video7')
    assert not result.successful
    assert 'cleanup' in result.reason


def test_an_override_of_one_topic_is_none_of_the_next_one(graph):
    given = {
        'source': 'synthetic',
        'qos_overrides./lone/image.publisher.reliability': 'best_effort',
    }
    remaps = {name: f'/lone/{name}' for name in ('image', 'camera_info')}
    with graph.running('camera_node', 'lone', given, remaps):
        offered = {
            name: graph.wait_for(
                lambda name=name: graph.node.get_publishers_info_by_topic(f'/lone/{name}'), name
            )[0].qos_profile.reliability
            for name in remaps
        }
    assert offered == {
        'image': ReliabilityPolicy.BEST_EFFORT,
        'camera_info': ReliabilityPolicy.RELIABLE,
    }


def test_whoever_asks_for_more_than_is_offered_is_named(graph, camera):
    node = camera()
    one = graph.node.create_subscription(Image, '/cam/image', lambda _: None, LATCHED)
    status = node.diagnostics(lambda s: '/probe gets nothing on /cam/image' in s.message)
    assert 'Volatile publisher and transient local subscription' in status.message
    assert node.output().count('/probe gets nothing on /cam/image') == 1
    graph.node.destroy_subscription(one)
