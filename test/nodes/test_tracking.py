"""Detection2D.id of real nodes: ids stay, belong to one camera, and begin anew when they must."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import write_detect, write_instance
from nodes.graph import Camera, bgr_image
from nodes.scenes import scene

WIDTH, HEIGHT = 640, 480
SETTINGS = {'tracker': 'bytetrack', 'track_memory': 60.0, 'track_confirmations': 1}


def picture(step=0, width=WIDTH):
    """A red and a green box that move towards each other."""
    red = (0, 60 + 8 * step, 60, 160 + 8 * step, 200)
    green = (1, 400 - 8 * step, 250, 500 - 8 * step, 400)
    return bgr_image(scene(width, HEIGHT, red, green))


def video(graph, topic):
    """Ten images a second by their stamps, however busy the machine: what moves has its speed."""
    return Camera(graph, topic, period_ns=10**8)


def names(message):
    """Ids by class."""
    return {found.results[0].hypothesis.class_id: found.id for found in message.detections}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return str(write_detect(tmp_path_factory.mktemp('models')))


@pytest.fixture(scope='module')
def node(graph, model):
    remaps = {'image': '/tracked/image'}
    with graph.running('detect_node', 'tracked', {'model': model, **SETTINGS}, remaps) as node:
        node.wait_state('active')
        yield node


@pytest.fixture(scope='module')
def camera(graph, node):
    return video(graph, '/tracked/image').matched()


@pytest.fixture(scope='module')
def detections(graph, node):
    return graph.collect(Detection2DArray, node.topic('detections')).matched()


def test_ids_stay_and_are_new_after_jumps_pauses_and_restarts(node, camera, detections):
    [first] = camera.show(picture(), detections)
    ids = names(first)
    assert sorted(ids.values()) == ['1', '2']
    for step in range(1, 5):
        [message] = camera.show(picture(step), detections)
        assert names(message) == ids
    [message] = camera.show(bgr_image(scene(WIDTH, HEIGHT)), detections)
    assert message.detections == []
    [message] = camera.show(picture(6), detections)
    assert names(message) == ids  # hidden for a moment

    stamp_ns = camera.publish(picture(6), stamp_ns=5 * 10**9)  # the clock goes back
    old = detections.wait(lambda m: m.header.stamp.sec == 5)
    assert stamp_ns == 5 * 10**9
    assert sorted(names(old).values()) == ['3', '4']

    [message] = camera.show(picture(width=800), detections)  # another camera on the topic
    assert sorted(names(message).values()) == ['5', '6']

    assert node.change('deactivate')
    assert node.change('activate')
    fresh = video(camera.graph, '/tracked/image').matched()
    [message] = fresh.show(picture(width=800), detections)
    assert sorted(names(message).values()) == ['7', '8']
    fresh.close()


def test_the_tracker_can_be_changed_and_turned_off_while_it_runs(node, camera, detections):
    assert node.set('tracker', 'none').successful
    [message] = camera.show(picture(), detections)
    assert list(names(message).values()) == ['', '']
    refused = node.set('tracker', 'kalman')
    assert not refused.successful
    assert 'none, sort, bytetrack, deepsort' in refused.reason
    assert node.set('tracker', 'deepsort').successful
    [message] = camera.show(picture(), detections)
    assert '' not in names(message).values()
    node.diagnostics(lambda status: 'gives no embeddings' in status.message)
    assert node.set('tracker', 'bytetrack').successful


def test_a_threshold_that_leaves_no_weak_detections_is_told(node):
    before = node.get('score_threshold')
    assert node.set('score_threshold', 0.7).successful
    assert node.set('score_threshold', before).successful
    assert 'bytetrack gets no weak detections' in node.output()


def test_cameras_of_one_node_never_share_an_id(graph, model):
    cameras = {'front': '/pair/front', 'rear': '/pair/rear'}
    parameters = {
        'model': model,
        'cameras': list(cameras),
        'camera_topics': list(cameras.values()),
        **SETTINGS,
    }
    with graph.running('detect_node', 'pair', parameters) as node:
        node.wait_state('active')
        seen = {}
        for name, topic in cameras.items():
            camera = video(graph, topic).matched()
            answers = graph.collect(Detection2DArray, node.topic(f'{name}/detections')).matched()
            for step in range(3):
                [message] = camera.show(picture(step), answers)
                seen.setdefault(name, names(message))
                assert names(message) == seen[name]
        assert not set(seen['front'].values()) & set(seen['rear'].values())


def test_instances_have_ids_too(graph, tmp_path):
    model = str(write_instance(tmp_path))
    remaps = {'image': '/instances/image'}
    with graph.running('segment_node', 'instances', {'model': model, **SETTINGS}, remaps) as node:
        node.wait_state('active')
        camera = video(graph, '/instances/image').matched()
        answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
        ids = [names(camera.show(picture(step), answers)[0]) for step in range(3)]
        assert ids[0] == ids[1] == ids[2]
        assert sorted(ids[0].values()) == ['1', '2']
