"""Who is at the other end of a topic; whoever gets no results is told of in words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String
from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import write_detect
from trt_perception.nodes.endpoints import NAMELESS, misfit, node_of, type_name

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.mark.parametrize('name', ['', '_NODE_NAME_UNKNOWN_'])
def test_a_node_that_has_not_said_its_name_has_none(name):
    assert node_of(SimpleNamespace(node_namespace='/', node_name=name)) == NAMELESS


def test_a_node_is_told_by_its_full_name():
    assert node_of(SimpleNamespace(node_namespace='/', node_name='planner')) == '/planner'
    assert node_of(SimpleNamespace(node_namespace='/rob', node_name='planner')) == '/rob/planner'


def test_what_fits_has_no_misfit_and_what_does_not_says_both_sides():
    hasty = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    assert misfit(QoSProfile(depth=1), hasty) == ''
    assert misfit(hasty, QoSProfile(depth=1)) == 'Best effort publisher and reliable subscription'


def test_types_are_named_as_the_graph_names_them():
    assert type_name(Detection2DArray) == 'vision_msgs/msg/Detection2DArray'


@pytest.fixture(scope='module')
def node(graph, tmp_path_factory):
    model = str(write_detect(tmp_path_factory.mktemp('models')))
    with graph.running('detect_node', 'speaker', {'model': model}, {'image': '/seen'}) as node:
        node.wait_state('active')
        yield node


@pytest.fixture
def stranger(graph):
    """Another node."""
    other = rclpy.create_node('planner', context=graph.context)
    yield other
    other.destroy_node()


def heard(message: object) -> None:
    """A subscriber needs something to call."""


def test_a_subscriber_that_asks_for_more_than_is_offered_is_named(node, stranger):
    topic = node.topic('detections')
    one = stranger.create_subscription(Detection2DArray, topic, heard, LATCHED)
    text = (
        f'/planner gets nothing on {topic}, since it asks for another quality of service: '
        'Volatile publisher and transient local subscription. Let it subscribe as this node '
        'publishes: reliable, volatile'
    )
    assert text in node.diagnostics(lambda s: '/planner gets nothing' in s.message).message
    assert node.output().count(text) == 1
    assert 'requesting incompatible QoS' not in node.output()  # rclpy's own words, without a name
    stranger.destroy_subscription(one)
    node.diagnostics(lambda s: '/planner' not in s.message)


def test_a_subscriber_of_another_type_is_named(node, stranger):
    topic = node.topic('detections')
    stranger.create_subscription(String, topic, heard, 5)
    status = node.diagnostics(lambda s: '/planner subscribes' in s.message)
    assert (
        f'/planner subscribes to {topic} as std_msgs/msg/String, but it is '
        'vision_msgs/msg/Detection2DArray: nothing arrives there'
    ) in status.message


def test_a_subscriber_that_fits_is_not_spoken_of(graph, node, stranger):
    hasty = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    stranger.create_subscription(Detection2DArray, node.topic('detections'), heard, hasty)
    latched = stranger.create_subscription(
        Detection2DArray, node.topic('detections'), heard, LATCHED
    )
    status = node.diagnostics(lambda s: '/planner' in s.message)
    assert status.message.count('/planner') == 1
    stranger.destroy_subscription(latched)
    node.diagnostics(lambda s: '/planner' not in s.message)


IMAGES = 'qos_overrides./twisted/image'
RESULTS = 'qos_overrides./twisted/detections'


@pytest.mark.parametrize(
    ('executable', 'parameter', 'value'),
    [
        ('detect_node', f'{IMAGES}.subscription.reliability', 'besteffort'),
        ('detect_node', f'{RESULTS}.publisher.reliability', 'besteffort'),
        ('detect_node', f'{RESULTS}.publisher.depth', 'many'),
        ('camera_node', f'{IMAGES}.publisher.reliability', 'besteffort'),
        ('overlay_node', 'qos_overrides./twisted/overlay.publisher.reliability', 'besteffort'),
        ('overlay_node', f'{IMAGES}.subscription.reliability', 'besteffort'),
    ],
)
def test_a_wrong_override_is_told_with_its_topic(graph, tmp_path, executable, parameter, value):
    given = {parameter: value, 'model': str(write_detect(tmp_path))}
    with graph.running(
        executable, 'twisted', given, {'image': '/twisted/image'}
    ) as node:  # `running` also sees to it that there is no Traceback
        viewer = graph.collect(Image, node.topic('overlay'))
        status = node.diagnostics(lambda s: s.level == b'\x02')
        assert f'{parameter.rpartition(".")[0].rpartition(".")[0]}: ' in status.message
        assert value in status.message
        assert 'Allowed are reliable and best_effort' in status.message
        assert node.output().count('Allowed are reliable and best_effort') == 1
        viewer.close()


def test_an_override_of_one_result_is_none_of_the_next_one(graph, tmp_path):
    given = {
        'model': str(write_detect(tmp_path)),
        f'{RESULTS}.publisher.reliability': 'best_effort',
    }
    with graph.running('detect_node', 'twisted', given) as node:
        node.wait_state('active')
        offered = {
            name: graph.wait_for(
                lambda name=name: graph.node.get_publishers_info_by_topic(node.topic(name)), name
            )[0].qos_profile.reliability
            for name in ('detections', 'embeddings')
        }
    assert offered == {
        'detections': ReliabilityPolicy.BEST_EFFORT,
        'embeddings': ReliabilityPolicy.RELIABLE,
    }
