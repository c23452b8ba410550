"""Who publishes the images, and what of it does not fit, is said in words."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import NAMES, write_detect
from nodes.graph import Camera, bgr_image
from nodes.scenes import found, scene, three_boxes

ALL = bgr_image(scene(640, 480, *three_boxes(640, 480)))


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return str(write_detect(tmp_path_factory.mktemp('models')))


@pytest.fixture(scope='module')
def node(graph, model):
    with graph.running('detect_node', 'listener', {'model': model}, {'image': '/in'}) as node:
        node.wait_state('active')
        yield node


@pytest.fixture
def strangers(graph):
    """Makes publishers of other nodes on the topic; they go after the test."""
    made = []

    def make(name, **arguments):
        other = rclpy.create_node(name, context=graph.context)
        made.append((other, Camera(graph, '/in', node=other, **arguments)))
        return made[-1][1]

    yield make
    for other, camera in made:
        camera.close()
        other.destroy_node()
    graph.wait_for(lambda: graph.node.count_publishers('/in') == 0, 'the end of the strangers')


def test_no_publisher_is_said(node):
    status = node.diagnostics(lambda s: 'nobody publishes /in' in s.message)
    assert status.level == b'\x01'
    assert 'sensor_msgs/msg/Image' in status.message


def test_one_publisher_is_fine(node, strangers):
    strangers('front_camera').matched()
    assert node.diagnostics(lambda s: s.level == b'\x00').message == 'active'


def test_frames_are_served_while_nobody_listens(node, strangers):
    before = node.stats()
    strangers('front_camera').matched().publish(ALL)
    assert node.stats(lambda s: s.frames_out > before.frames_out).frames_failed == 0


def test_two_publishers_are_named_and_both_served(graph, node, strangers):
    front, rear = strangers('front_camera').matched(), strangers('rear_camera').matched()
    status = node.diagnostics(lambda s: '2 publishers: /front_camera, /rear_camera' in s.message)
    assert status.level == b'\x01'
    answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
    for camera in (front, rear):
        [message] = camera.show(ALL, answers)
        assert set(found(message)) == set(NAMES)
    answers.close()


def test_images_of_another_type_are_named(node, strangers):
    strangers('zipper', kind=CompressedImage)
    words = '/zipper publishes sensor_msgs/msg/CompressedImage on /in, not sensor_msgs/msg/Image'
    assert node.diagnostics(lambda s: words in s.message).level == b'\x01'
    assert words in node.output()


def test_images_that_are_there_in_the_other_form_are_pointed_at(graph, node):
    other = rclpy.create_node('zipper', context=graph.context)
    other.create_publisher(CompressedImage, '/in/compressed', 1)
    words = (
        'nobody publishes /in (sensor_msgs/msg/Image). /in/compressed has them as '
        'sensor_msgs/msg/CompressedImage: start this node with the parameter `image_transport` at '
        'compressed and `image` remapped to /in'
    )
    assert words in node.diagnostics(lambda s: '/in/compressed' in s.message).message
    other.destroy_node()
    node.diagnostics(lambda s: '/in/compressed' not in s.message)


def test_a_topic_named_with_the_ending_of_compressed_images_is_understood(graph, model):
    other = rclpy.create_node('zipper', context=graph.context)
    other.create_publisher(CompressedImage, '/zip/compressed', 1)
    remapped = {'image': '/zip/compressed'}
    with graph.running('detect_node', 'misled', {'model': model}, remapped) as node:
        status = node.diagnostics(lambda s: '/zipper publishes' in s.message)
        assert '`image_transport` at compressed and `image` remapped to /zip' in status.message
        # The graph tells of a publisher before it tells whose it is.
        assert 'UNKNOWN' not in node.output()
    other.destroy_node()


def test_a_quality_of_service_that_does_not_fit_is_explained(node, strangers):
    strangers('hasty', reliability=ReliabilityPolicy.BEST_EFFORT)
    status = node.diagnostics(lambda s: '/hasty offers a quality of service' in s.message)
    assert status.level == b'\x01'
    # It is read at the start: telling to set it would lead to a refusal.
    assert 'Start this node with the parameter `reliability` at best_effort' in status.message
    assert 'not fit: Best effort publisher and reliable subscription. Start' in status.message


@pytest.mark.parametrize(
    'parameter',
    [
        {'reliability': 'best_effort'},
        {'qos_overrides./in.subscription.reliability': 'best_effort'},
    ],
    ids=['parameter', 'override'],
)
def test_best_effort_images_are_heard_when_asked_for(graph, model, strangers, parameter):
    parameters = {'model': model, **parameter}
    with graph.running('detect_node', 'patient', parameters, {'image': '/in'}) as node:
        node.wait_state('active')
        camera = strangers('hasty', reliability=ReliabilityPolicy.BEST_EFFORT).matched()
        answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
        [message] = camera.show(bgr_image(scene(64, 48, *three_boxes(64, 48))), answers)
        assert message.header.frame_id == 'camera_optical'
        assert node.diagnostics(lambda s: s.level == b'\x00').message == 'active'


def test_silence_is_said_and_ends_with_the_next_image(graph, node, strangers):
    camera = strangers('sleepy')
    before = node.output().count('no image on /in for')
    answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
    camera.matched()
    camera.show(ALL, answers)
    status = node.diagnostics(lambda s: 'no image on /in for' in s.message)
    assert status.level == b'\x03'
    logged = node.output().count('no image on /in for')
    assert logged > before, 'a publisher is there and says nothing'
    again = node.output().count('images come again on /in')
    assert again < logged
    camera.show(ALL, answers)
    assert node.diagnostics(lambda s: s.level == b'\x00').message == 'active'
    assert node.output().count('images come again on /in') == again + 1
    assert node.output().count('no image on /in for') == logged
    answers.close()


def test_results_are_published_reliably_with_quality_of_service_parameters(graph, node):
    [publisher] = graph.node.get_publishers_info_by_topic(node.topic('detections'))
    assert publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    name = f'qos_overrides.{node.topic("detections")}.publisher.reliability'
    assert node.get(name) == 'reliable'
    assert node.get('qos_overrides./in.subscription.depth') == 1


def test_of_several_cameras_the_topic_of_that_one_is_named(graph, model):
    other = rclpy.create_node('zipper', context=graph.context)
    other.create_publisher(CompressedImage, '/pair/left/image/compressed', 1)
    parameters = {'model': model, 'cameras': ['left', 'right']}
    words = '`left/image` remapped to /pair/left/image'
    with graph.running(
        'detect_node', 'paired', parameters, {'left/image': '/pair/left/image'}
    ) as node:
        graph.wait_for(lambda: words in node.output(), 'where the images are')
    other.destroy_node()
