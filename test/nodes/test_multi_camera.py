"""Several cameras, one network: each hears only its own results, and none waits for another."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy
from rclpy.qos import ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import write_detect, write_semantic
from nodes.graph import Camera, bgr_image, raw_image, stamp_of
from nodes.middleware import numbered
from nodes.scenes import found, scene, three_boxes
from trt_perception.msg import PipelineStats

SIZES = {'front': (640, 480), 'left': (320, 240), 'right': (480, 640)}
GARBAGE = raw_image(b'short', 'bgr8', 640, 480, 1920)


def picture(name: str) -> Image:
    """Of a size and with as many boxes as only this camera has."""
    boxes = three_boxes(*SIZES[name])[: list(SIZES).index(name) + 1]
    return bgr_image(scene(*SIZES[name], *boxes), frame_id=f'{name}_optical')


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    return {'detect': str(write_detect(folder)), 'semantic': str(write_semantic(folder))}


@pytest.fixture(scope='module')
def node(graph, models):
    parameters = {
        'model': models['detect'],
        'cameras': list(SIZES),
        'camera_topics': ['front/image', 'left/image', '/rig/right'],
        'max_batch': 3,
    }
    with graph.running('detect_node', 'rig', parameters) as node:
        node.wait_state('active')
        yield node


@pytest.fixture(scope='module')
def cameras(graph, node):
    topics = {'front': '/front/image', 'left': '/left/image', 'right': '/rig/right'}
    return {name: Camera(graph, topic).matched() for name, topic in topics.items()}


@pytest.fixture(scope='module')
def answers(graph, node):
    return {
        name: graph.collect(Detection2DArray, node.topic(f'{name}/detections')).matched()
        for name in SIZES
    }


def statuses(node) -> dict[str, object]:
    """The newest diagnostics of the node, by what stands behind its name."""
    node._diagnostics.messages.clear()
    node.enable(True)
    fits = node._diagnostics.wait(lambda m: m.status[0].name == f'{node.name}: perception')
    return {status.name.split(': ')[1]: status for status in fits.status}


def wait_status(node, camera: str, words: str):
    return node.graph.wait_for(
        lambda: [s for s in [statuses(node)[camera]] if words in s.message], f'{camera}: {words}'
    )[0]


def camera_stats(graph, node, camera: str, fits) -> PipelineStats:
    collected = graph.collect(PipelineStats, node.topic(f'{camera}/stats'))
    message = collected.wait(fits)
    collected.close()
    return message


def test_each_camera_has_its_own_results(cameras, answers):
    for _ in range(3):
        for name, camera in cameras.items():
            [message] = camera.show(picture(name), answers[name])
            assert message.header.frame_id == f'{name}_optical'
            assert len(found(message)) == list(SIZES).index(name) + 1
    for name, answer in answers.items():
        assert {m.header.frame_id for m in answer.messages} == {f'{name}_optical'}


def test_frames_that_come_together_all_get_their_result(cameras, answers):
    for name, camera in cameras.items():
        camera.show(picture(name), answers[name])
    for _ in range(5):
        stamps = {name: camera.publish(picture(name)) for name, camera in cameras.items()}
        for name, stamp_ns in stamps.items():
            answers[name].wait(lambda m, stamp_ns=stamp_ns: stamp_of(m) == stamp_ns)


def test_garbage_of_one_camera_is_counted_there_and_harms_no_other(graph, node, cameras, answers):
    for name, camera in cameras.items():
        camera.show(picture(name), answers[name])
    for _ in range(5):
        cameras['left'].publish(GARBAGE)
        stamp_ns = cameras['front'].publish(picture('front'))
        answers['front'].wait(lambda m, stamp_ns=stamp_ns: stamp_of(m) == stamp_ns)
    bad = camera_stats(graph, node, 'left', lambda m: 'short_data' in m.drop_causes)
    assert bad.frames_failed >= 1
    good = camera_stats(graph, node, 'front', lambda m: m.frames_out)
    assert good.frames_failed == 0
    assert wait_status(node, 'left', '/left/image left out').level in (b'\x01', b'\x02')
    assert statuses(node)['front'].level == b'\x00'
    assert statuses(node)['perception'].level == b'\x01', 'one of them has something to say'


def test_the_nodes_figures_are_those_of_all_cameras(graph, node, cameras, answers):
    for name, camera in cameras.items():
        camera.show(picture(name), answers[name])
    each = [camera_stats(graph, node, n, lambda m: m.frames_out).frames_in for n in SIZES]
    assert node.stats(lambda m: m.frames_in >= sum(each)).model == 'colours_detect'


def test_a_silent_camera_is_told_of_and_delays_nobody(node, cameras, answers):
    end = time.monotonic() + 5.5
    while time.monotonic() < end:
        cameras['front'].show(picture('front'), answers['front'])
        time.sleep(0.2)
    assert wait_status(node, 'right', 'no image on /rig/right for').level == b'\x03'
    assert statuses(node)['front'].level == b'\x00'
    assert 'right is STALE: ' in statuses(node)['perception'].message


def test_what_a_camera_publishes_wrong_is_said_under_its_name(graph, node, cameras):
    other = rclpy.create_node('stranger', context=graph.context)
    hasty = Camera(graph, '/rig/right', reliability=ReliabilityPolicy.BEST_EFFORT, node=other)
    message = wait_status(node, 'right', 'quality of service').message
    assert '/stranger offers' in message
    assert '`reliability` at best_effort' in message
    hasty.close()
    other.destroy_node()


def test_size_encoding_and_frame_may_change_and_stamps_may_repeat(node, cameras, answers):
    camera, answer = cameras['front'], answers['front']
    camera.show(picture('front'), answer)
    camera.show(picture('right'), answer)
    grey = raw_image(bytes(100 * 50), 'mono8', 100, 50, 100, frame_id='another')
    [message] = camera.show(grey, answer)
    assert message.header.frame_id == 'another'
    answer.messages.clear()
    for _ in range(2):
        camera.publish(picture('front'), stamp_of(message))
        answer.wait(lambda m: len(found(m)) == 1)
        answer.messages.clear()
    assert wait_status(node, 'front', 'that of the one before').level == b'\x01'


@numbered
def test_a_fast_camera_leaves_room_for_the_others(graph, node, cameras, answers):
    """240 Hz, with gaps in time of what this machine can do."""
    fast = bgr_image(scene(64, 48, *three_boxes(64, 48)))
    cameras['left'].show(fast, answers['left'])
    for number in range(240):
        cameras['left'].publish(fast)
        if number % 40 == 0:
            cameras['front'].show(picture('front'), answers['front'])
        time.sleep(1 / 240)
    last = cameras['left'].publish(fast)
    answers['left'].wait(lambda m: stamp_of(m) == last)
    stats = camera_stats(graph, node, 'left', lambda m: m.frames_in > 240)
    assert stats.frames_in == stats.frames_out + stats.frames_dropped


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'cameras': ['front', 'front']}, 'front is there more than once'),
        ({'cameras': ['front door']}, "'front door' cannot be part of a topic"),
        ({'cameras': ['2nd']}, "'2nd' cannot be part of a topic"),
        ({'cameras': ['a/b']}, "'a/b' cannot be part of a topic"),
        ({'cameras': ['']}, "'' cannot be part of a topic"),
        ({'camera_topics': ['front/image']}, 'cameras is empty'),
        ({'cameras': ['a', 'b'], 'camera_topics': ['x']}, '1 entries and cameras 2'),
        ({'cameras': ['a', 'b'], 'camera_topics': ['x', 'x']}, 'x is there more than once'),
        ({'cameras': ['a', 'b'], 'camera_topics': ['x', '/x']}, 'a and b both read /x'),
        ({'cameras': ['a'], 'camera_topics': ['x y']}, "'x y' is no name of a topic"),
        ({'cameras': ['a'], 'camera_topics': ['//x']}, "'//x' is no name of a topic"),
        ({'max_age': 0.01, 'batch_deadline_ms': 20.0}, 'longer than max_age 0.01 s'),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_meant_is_refused_in_words(refused, parameters, words):
    assert words in refused(parameters)


@pytest.fixture(scope='module')
def refused(graph, models):
    """Configures a node with parameters; returns why it would not, and sets them back."""
    plain = {'cameras': [], 'camera_topics': [], 'max_age': 0.0, 'batch_deadline_ms': 0.0}
    started = {'model': models['detect'], 'autostart': False}
    with graph.running('detect_node', 'doubter', started) as node:

        def attempt(parameters):
            said = ''
            for name, value in parameters.items():
                said += node.set(name, value).reason
            if not node.change('configure'):
                said += node.diagnostics(lambda s: s.level == b'\x02').message
            else:
                assert node.change('cleanup')
            for name in ('camera_topics', 'cameras', 'max_age', 'batch_deadline_ms'):
                assert node.set(name, plain[name]).successful
            return said

        yield attempt


def test_frames_that_are_too_old_are_dropped_before_any_work(graph, models):
    parameters = {'model': models['detect'], 'max_age': 0.5}
    with graph.running('detect_node', 'fresh', parameters, {'image': '/fresh/image'}) as node:
        node.wait_state('active')
        camera = Camera(graph, '/fresh/image').matched()
        answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
        camera.show(picture('front'), answers)
        answers.messages.clear()
        camera.publish(picture('front'), time.time_ns() - 10**9)
        stats = node.stats(lambda m: 'stale' in m.drop_causes)
        assert stats.frames_failed == 0, 'it was a choice'
        camera.publish(picture('front'), 7 * 10**9)
        text = node.diagnostics(lambda s: 'another clock' in s.message).message
        assert 'years old' in text
        assert answers.messages == []
        camera.publish(picture('front'), time.time_ns() + 3600 * 10**9)
        answers.wait()
        assert node.diagnostics(lambda s: 'ahead of the clock' in s.message).level == b'\x01'
        assert node.output().count('ahead of the clock') == 1
        assert node.set('max_age', 0.0).successful
        camera.publish(picture('front'), 7 * 10**9)
        answers.wait(lambda m: stamp_of(m) == 7 * 10**9)
        camera.close()


def test_in_simulated_time_the_age_is_that_of_the_simulation(graph, models):
    parameters = {
        'model': models['detect'], 'max_age': 0.5, 'use_sim_time': True, 'stale_after': 2.0,
    }  # fmt: skip
    with graph.running('detect_node', 'simulated', parameters, {'image': '/sim/image'}) as node:
        node.wait_state('active')
        camera = Camera(graph, '/sim/image').matched()
        answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
        camera.publish(picture('front'), 10 * 10**9)
        answers.wait(lambda m: stamp_of(m) == 10 * 10**9)
        assert '/clock has not come' in node.diagnostics(lambda s: '/clock' in s.message).message
        clock = graph.node.create_publisher(Clock, '/clock', 1)
        graph.wait_for(clock.get_subscription_count, 'a subscriber of /clock')
        now = Clock()
        now.clock.sec = 100

        def stale() -> bool:
            clock.publish(now)
            camera.publish(picture('front'), 99 * 10**9)
            return 'stale' in node.stats().drop_causes

        graph.wait_for(stale, 'the simulated time')
        camera.publish(picture('front'), 99_800_000_000)
        answers.wait(lambda m: stamp_of(m) == 99_800_000_000)
        camera.publish(picture('front'), 100_200_000_000)
        answers.wait(lambda m: stamp_of(m) == 100_200_000_000)
        paused = node.diagnostics(lambda s: 'stands still at 100.000 s' in s.message)
        assert paused.level == b'\x01', 'a simulator may be paused'
        assert 'no image on' not in paused.message
        figures = {value.key: value.value for value in paused.values}
        assert figures['stamps in the future'] == '0', '/clock may lag a little'
        assert node.output().count('/clock stands still') == 1
        graph.node.destroy_publisher(clock)
        ended = node.diagnostics(lambda s: 'no image on /sim/image for' in s.message)
        assert ended.level == b'\x03'
        assert 'nobody publishes it any more' in ended.message
        camera.close()


def test_masks_too_come_under_the_names_of_the_cameras(graph, models):
    parameters = {
        'model': models['semantic'], 'cameras': ['up', 'down'], 'max_batch': 8,
        'batch_deadline_ms': 5.0,
    }  # fmt: skip
    with graph.running('segment_node', 'painter', parameters) as node:
        node.wait_state('active')
        for name in ('up', 'down'):
            camera = Camera(graph, f'/{name}/image').matched()
            masks = graph.collect(Image, node.topic(f'{name}/mask')).matched()
            [mask] = camera.show(bgr_image(np.zeros((48, 64, 3), np.uint8)), masks)
            assert (mask.width, mask.height) == (64, 48)
            camera.close()
            masks.close()
