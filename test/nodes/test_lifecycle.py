"""From unconfigured to finalized and back, through the lifecycle services and by signals."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from lifecycle_msgs.msg import Transition
from vision_msgs.msg import Detection2DArray, LabelInfo

from nodes.colour_networks import NAMES, write_detect, write_semantic
from nodes.graph import LATCHED, Camera, bgr_image
from nodes.middleware import fast_dds
from nodes.scenes import found, scene, three_boxes

ALL = scene(640, 480, *three_boxes(640, 480))


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    write_detect(folder)
    write_semantic(folder)
    return folder


@pytest.fixture(scope='module')
def model(models):
    return str(models / 'colours_detect.yaml')


@pytest.fixture(scope='module')
def node(graph, model):
    parameters = {'model': model, 'autostart': False}
    with graph.running('detect_node', 'cycler', parameters, {'image': '/cycle/image'}) as node:
        yield node


def test_without_autostart_nothing_happens_and_the_node_says_so(graph, node):
    assert node.state() == 'unconfigured'
    status = node.diagnostics()
    assert status.level == b'\x00'
    assert status.message == 'unconfigured'
    stats = node.stats()
    assert (stats.model, stats.backend, stats.engine_fingerprint) == ('', '', '')
    assert stats.newest_age_s != stats.newest_age_s
    topics = dict(graph.node.get_topic_names_and_types())
    assert node.topic('detections') not in topics


def test_three_rounds_through_every_state(graph, node):
    camera = Camera(graph, '/cycle/image')
    for _ in range(3):
        assert node.state() == 'unconfigured'
        assert node.change('configure')
        assert node.state() == 'inactive'
        assert node.stats().model == 'colours_detect'
        assert graph.node.count_subscribers('/cycle/image') == 0
        for _ in range(2):
            assert node.change('activate')
            assert node.state() == 'active'
            assert node.stats().frames_in == 0
            answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
            camera.matched()
            [message] = camera.show(bgr_image(ALL), answers)
            assert set(found(message)) == set(NAMES)
            answers.close()
            node.stats(lambda s: s.frames_in == s.frames_out > 0)
            assert node.change('deactivate')
            graph.wait_for(
                lambda: camera.publisher.get_subscription_count() == 0, 'the end of the input'
            )
        assert node.state() == 'inactive'
        labels = graph.collect(LabelInfo, node.topic('label_info'), LATCHED)
        assert len(labels.wait().class_map) == 3
        labels.close()
        assert node.change('cleanup')
        assert node.stats().model == ''
        graph.wait_for(
            lambda: graph.node.count_publishers(node.topic('detections')) == 0,
            'the end of the output',
        )
    camera.close()


@pytest.mark.parametrize('transition', ['activate', 'deactivate', 'cleanup'])
def test_a_transition_that_the_state_has_not_is_answered_with_no(node, transition):
    assert node.state() == 'unconfigured'
    assert not node.change(transition)
    assert node.state() == 'unconfigured'
    assert 'the node is unconfigured; possible: configure, shutdown' in node.output()


def test_a_transition_may_be_named_by_its_label(node):
    def change(label):
        return node.change_by(Transition(label=label))

    assert change('configure')
    assert not change('configure')
    assert not change('fly')
    assert change('cleanup')


def test_what_is_set_while_unconfigured_holds_after_configure(node, model, models):
    assert not node.set('model', 7).successful
    assert node.set('model', str(models / 'colours_semantic.yaml')).successful
    assert not node.change('configure')
    assert 'for the task semantic' in node.diagnostics(lambda s: s.level == b'\x02').message
    assert node.set('model', model).successful
    assert node.set('score_threshold', 0.75).successful
    assert node.change('configure')
    assert node.get('score_threshold') == 0.75
    assert node.diagnostics(lambda s: s.level == b'\x00').message == 'inactive'
    assert node.change('cleanup')


def test_enable_is_answered_in_every_state(node):
    assert node.enable(False).message == 'unconfigured, paused by ~/enable'
    assert node.enable(True).message == 'unconfigured'


@pytest.mark.parametrize('state', ['unconfigured', 'inactive', 'active'])
def test_shutdown_finalizes_and_frees(graph, model, state):
    with graph.running(
        'detect_node', f'ends_{state}', {'model': model, 'autostart': state == 'active'}
    ) as node:
        if state == 'inactive':
            assert node.change('configure')
        node.wait_state(state)
        assert node.change('shutdown')
        assert node.state() == 'finalized'
        assert node.diagnostics().message == 'finalized'
        assert node.stats().model == ''


def test_a_failed_autostart_leaves_a_node_that_can_be_mended(graph, model, models):
    parameters = {'model': str(models / 'none.yaml'), 'score_threshold': 3.0, 'threads': 'many'}
    with graph.running('detect_node', 'ill', parameters) as node:
        status = node.diagnostics(lambda s: s.level == b'\x02')
        assert 'score_threshold: 3.0 is not allowed; allowed: a number from 0.0 to 1.0' in (
            status.message
        )
        assert "threads: 'many' is not allowed; allowed: a whole number" in status.message
        assert node.set('score_threshold', 0.3).successful
        assert node.set('threads', 1).successful
        assert not node.change('configure')
        assert 'none.yaml' in node.diagnostics(lambda s: 'none.yaml' in s.message).message
        assert node.set('model', model).successful
        assert node.change('configure')
        assert node.change('activate')
        assert node.diagnostics(lambda s: s.message.startswith('nobody publishes')).level == b'\x01'


def test_what_contradicts_itself_leaves_the_parameters_of_others_alone(graph, model):
    parameters = {
        'model': model, 'autostart': False, 'cameras': ['left'], 'camera_topics': ['a', 'b'],
    }  # fmt: skip
    with graph.running('detect_node', 'contradicts', parameters) as node:
        refused = node.set('max_age', 0.5)
        assert not refused.successful
        assert 'camera_topics has 2 entries and cameras 1' in refused.reason
        assert node.set('use_sim_time', True).successful


def test_a_parameter_that_is_misspelt_is_named(graph, model):
    parameters = {'model': model, 'score_treshold': 0.3, 'another_thing': 1}
    with graph.running('detect_node', 'misspelt', parameters) as node:
        node.wait_state('active')
        assert "'score_treshold' is unknown and ignored; did you mean 'score_threshold'?" in (
            node.output()
        )
        assert 'another_thing' not in node.output()


def test_autostart_does_not_wait_for_simulated_time(graph, model):
    """Nobody publishes /clock here."""
    with graph.running('detect_node', 'simulated', {'model': model, 'use_sim_time': True}) as node:
        node.wait_state('active')
        assert node.stats().model == 'colours_detect'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_well_in_every_state(graph, model, number):
    with contextlib.ExitStack() as stack:
        nodes = {}
        for state in ('unconfigured', 'inactive', 'active', 'paused', 'finalized'):
            parameters = {'model': model, 'autostart': state in ('active', 'paused')}
            nodes[state] = graph.start('detect_node', f'signalled_{state}', parameters)
            stack.callback(nodes[state].end)
        for node in ('inactive', 'finalized'):
            assert nodes[node].change('configure')
        assert nodes['finalized'].change('shutdown')
        nodes['active'].wait_state('active')
        nodes['paused'].wait_state('active')
        nodes['paused'].enable(False)
        nodes['unconfigured'].state()
        for node in nodes.values():
            node.send(number)
        for state, node in nodes.items():
            assert node.process.wait(20) == 0, f'{state}: {node.output()}'
            assert 'Traceback' not in node.output()
            assert 'rror' not in node.output()


LEFT_BEHIND = """
import os
import sys
import rclpy
from trt_perception.nodes.camera_node import CameraNode
rclpy.init(args=sys.argv)
node = CameraNode()
assert node.trigger_configure().name == 'SUCCESS'
node.close()
rclpy.try_shutdown()
threads = (open(f'/proc/self/task/{task}/comm').read() for task in os.listdir('/proc/self/task'))
print(sorted(name.strip() for name in threads if name.startswith('dds.')))
"""


@fast_dds
def test_a_closed_node_has_left_the_domain(graph, tmp_path):
    """A participant that is there at the exit waits for ever now and then for what it hears."""
    done = subprocess.run(
        [sys.executable, '-c', LEFT_BEHIND, '--ros-args', '-p', 'autostart:=false'],
        env=graph.environment,
        cwd=tmp_path,  # the checkout has a package without messages
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    # One thread serves all participants there ever were.
    assert done.stdout == "['dds.shm.wdog']\n", done.stderr


def test_a_signal_while_frames_stream_in_ends_the_node_well(graph, model):
    node = graph.start('detect_node', 'busy', {'model': model}, {'image': '/busy/image'})
    try:
        camera = Camera(graph, '/busy/image')
        camera.matched()
        answers = graph.collect(Detection2DArray, node.topic('detections')).matched()
        for _ in range(20):
            camera.show(bgr_image(ALL), answers)
        for _ in range(5):
            camera.publish(bgr_image(ALL))
        # A terminal and a launch file both send one.
        node.send(signal.SIGINT)
        node.send(signal.SIGTERM)
    finally:
        status = node.end(signal.SIGINT)
    assert status == 0, node.output()
    assert 'Traceback' not in node.output()


def test_wrong_arguments_end_the_node_with_a_reason(graph):
    node = graph.start('detect_node', 'confused', {}, {'no remap at all': '///'})
    try:
        assert node.process.wait(20) == 1
    finally:
        node.end()
    assert 'cannot start: ' in node.output()
    assert 'Traceback' not in node.output()
