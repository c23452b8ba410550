"""What becomes of a frame once the loop is through with it."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy

from nodes.colour_networks import write_detect
from nodes.graph import Camera, bgr_image, raw_image
from nodes.scenes import scene
from trt_perception.nodes.camera_input import CameraInput, Outputs
from trt_perception.nodes.frame_subscription import FrameSubscription
from trt_perception.nodes.frame_worker import FrameWorker
from trt_perception.nodes.health import ERROR, STALE, WARN, Health
from trt_perception.nodes.inference_parameters import InferenceParameters
from trt_perception.nodes.perception_loop import PerceptionLoop
from trt_perception.nodes.thresholds import Thresholds, worst
from trt_perception.pipeline.perception import open_pipeline
from trt_perception.pipeline.statistics import SINCE_STAMP, PipelineStatistics
from trt_perception.pipeline.tracked import TrackedCameras

TOPIC = '/looped/image'


class Published(Outputs):
    """Fails where it is told to."""

    wants_pictures = False

    def __init__(self) -> None:
        self.broken = False

    def publish(self, perceived, header):
        if self.broken:
            raise RuntimeError('no way out')
        return {}


@pytest.fixture(scope='module')
def pipeline(tmp_path_factory):
    model = write_detect(tmp_path_factory.mktemp('models'))
    pipeline = open_pipeline(model, backend='onnxruntime-cpu', threads=1)
    yield pipeline
    pipeline.close()


@pytest.fixture
def loop(graph, pipeline):
    """A loop that no thread works for, with one camera."""
    node = rclpy.create_node('loop', context=graph.context)
    owner = SimpleNamespace(
        get_clock=node.get_clock,
        parameters=SimpleNamespace(max_age=0.0),
        statistics=PipelineStatistics(),
        health=Health(lambda _: None),
        newest_age_s=math.nan,
    )
    camera = CameraInput('', TOPIC, Published())
    subscription = FrameSubscription(node, transport='raw', reliability='reliable', image=TOPIC)
    camera.open(owner, subscription)
    yield PerceptionLoop(owner, pipeline, [camera], TrackedCameras())
    camera.close()
    node.destroy_node()


@pytest.mark.parametrize(
    ('image', 'broken', 'causes'),
    [
        (bgr_image(scene(64, 48)), False, []),
        (bgr_image(scene(64, 48)), True, ['internal']),
        (raw_image(b'short', 'bgr8', 64, 48, 192), False, ['short_data']),
        (raw_image(b'', 'none', 64, 48, 192), False, ['unknown_encoding']),
    ],
    ids=['good', 'not published', 'cut off', 'of no encoding'],
)
def test_nothing_holds_a_frame_after_the_work_on_it(graph, loop, image, broken, causes):
    """Not even a circle that waits for the collector: images are large, and it comes late."""
    [camera] = loop.cameras
    camera.outputs.broken = broken
    publisher = Camera(graph, TOPIC).matched()
    publisher.publish(image)
    arrival = graph.wait_for(camera.subscription.take, 'the image')
    frame = weakref.ref(arrival.frame)
    gc.disable()
    try:
        loop.work([(camera, arrival)])
        del arrival
        assert frame() is None
    finally:
        gc.enable()
        publisher.close()
    assert list(camera.statistics.snapshot().drops) == causes


@pytest.mark.parametrize('wanted', [True, False])
def test_pictures_are_asked_for_while_somebody_will_publish_them(graph, loop, pipeline, wanted):
    [camera] = loop.cameras
    camera.outputs.wants_pictures = wanted
    pipeline.pictures = not wanted
    publisher = Camera(graph, TOPIC).matched()
    publisher.publish(bgr_image(scene(64, 48)))
    loop.work([(camera, graph.wait_for(camera.subscription.take, 'the image'))])
    publisher.close()
    assert pipeline.pictures == wanted


def test_a_frame_that_outlasts_its_camera_is_no_fault(graph, loop, pipeline):
    """As where the network does not answer in time while the node is deactivated."""
    [camera] = loop.cameras
    publisher = Camera(graph, TOPIC).matched()
    publisher.publish(bgr_image(scene(64, 48)))
    arrival = graph.wait_for(camera.subscription.take, 'the image')
    publisher.close()
    camera.close()
    loop.work([(camera, arrival)])
    assert camera.statistics.snapshot().frames_out == 1


def test_a_fault_in_the_middle_of_a_batch_costs_each_frame_that_was_left(
    graph, pipeline, monkeypatch
):
    names = ['front', 'left', 'rear']
    node, loop = started(graph, pipeline, names)
    publishers = [Camera(graph, f'/stuck{name}').matched() for name in names]
    in_turn = pipeline.process_in_turn

    def fails_after_the_first(frames):
        yield next(in_turn(frames))
        raise RuntimeError('torn in two')

    try:
        loop._worker.stop()
        for publisher in publishers:
            publisher.publish(bgr_image(scene(64, 48)))
        batch = [
            (camera, graph.wait_for(camera.subscription.take, 'the image'))
            for camera in loop.cameras
        ]
        monkeypatch.setattr(pipeline, 'process_in_turn', fails_after_the_first)
        loop.work(batch)
        drops = [dict(camera.statistics.snapshot().drops) for camera in loop.cameras]
        assert drops == [{}, {'internal': 1}, {'internal': 1}]
        snapshot = node.statistics.snapshot()
        assert (snapshot.frames_out, dict(snapshot.drops)) == (1, {'internal': 2})
        assert 'torn in two' in node.health.condition().text
    finally:
        assert loop.stop()
        for publisher in publishers:
            publisher.close()
        node.destroy_node()


class Stuck:
    """A network that answers when the test wants it to."""

    def __init__(self, infer) -> None:
        self._infer = infer
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, tensors):
        self.asked.set()
        assert self.may_answer.wait(20)
        return self._infer(tensors)


def started(graph, pipeline, names, **parameters):
    """A loop that works, with cameras of these names, and the node it belongs to."""
    node = rclpy.create_node('stuck', context=graph.context)
    node.parameters = InferenceParameters(model='', **parameters)
    node.statistics, node.health = PipelineStatistics(), Health(lambda _: None)
    node.newest_age_s, node.enabled, node.between_frames = math.nan, True, lambda: None
    cameras = [CameraInput(name, f'/stuck{name}', Published()) for name in names]
    loop = PerceptionLoop(node, pipeline, cameras, TrackedCameras())
    loop.start()
    return node, loop


@pytest.mark.parametrize('names', [[''], ['front', 'rear']], ids=['one camera', 'two'])
def test_a_network_that_does_not_answer_is_an_error_and_no_silence(
    graph, pipeline, names, monkeypatch
):
    stuck = Stuck(pipeline.runtime.infer)
    monkeypatch.setattr(pipeline.runtime, 'infer', stuck)
    node, loop = started(graph, pipeline, names)
    publisher = Camera(graph, f'/stuck{names[0]}').matched()
    limits = Thresholds(stale_after_s=0.2)
    try:
        publisher.publish(bgr_image(scene(64, 48)))
        assert stuck.asked.wait(20)
        time.sleep(0.4)
        found = loop.conditions(limits)
        assert worst(found).level == ERROR
        assert 'the network has not answered for' in worst(found).text
        assert not any(condition.level == STALE for condition in found)
        assert not any('no image' in condition.text for condition in found)
        assert loop.conditions(Thresholds(stale_after_s=60.0)) != found
        stuck.may_answer.set()
        graph.wait_for(lambda: node.statistics.snapshot().frames_out == 1, 'the result')
        time.sleep(0.3)
        assert worst(loop.conditions(limits)).level == STALE, 'now it is silence'
    finally:
        stuck.may_answer.set()
        assert loop.stop()
        publisher.close()
        node.destroy_node()


def test_a_loop_whose_network_hangs_has_not_stopped_however_often_it_is_asked(
    graph, pipeline, monkeypatch
):
    """A second thread on the same pipeline would be started else."""
    monkeypatch.setattr(FrameWorker.stop, '__defaults__', (0.1,))
    stuck = Stuck(pipeline.runtime.infer)
    monkeypatch.setattr(pipeline.runtime, 'infer', stuck)
    node, loop = started(graph, pipeline, [''])
    publisher = Camera(graph, '/stuck').matched()
    try:
        publisher.publish(bgr_image(scene(64, 48)))
        assert stuck.asked.wait(20)
        assert not loop.stop()
        assert not loop.stop()
    finally:
        stuck.may_answer.set()
        graph.wait_for(loop.stop, 'the end of the work')
        publisher.close()
        node.destroy_node()


@pytest.mark.parametrize(
    ('age_s', 'timed'), [(0.02, True), (7200.0, False), (-60.0, False), (None, False)]
)
def test_an_odd_stamp_is_no_latency(graph, loop, age_s, timed):
    """Of hours it would be the 99th percentile of the next 256 images."""
    [camera] = loop.cameras
    publisher = Camera(graph, TOPIC).matched()
    stamp_ns = 0 if age_s is None else time.time_ns() - round(age_s * 1e9)
    publisher.publish(bgr_image(scene(64, 48)), stamp_ns)
    loop.work([(camera, graph.wait_for(camera.subscription.take, 'the image'))])
    publisher.close()
    snapshot = camera.statistics.snapshot()
    assert snapshot.frames_out == 1
    assert (SINCE_STAMP in [stage.stage for stage in snapshot.stages]) == timed
    assert len(camera.subscription.stamps.conditions()) == (not timed), 'it is counted'


@pytest.mark.parametrize('names', [[''], ['front', 'rear']], ids=['one camera', 'two'])
def test_nobody_is_called_silent_while_no_image_can_come(graph, pipeline, names):
    node, loop = started(graph, pipeline, names)
    limits = Thresholds(stale_after_s=0.01)
    try:
        time.sleep(0.02)
        assert worst(loop.conditions(limits)).level == STALE
        found = loop.conditions(limits, images_expected=False)
        assert worst(found).level == WARN, 'nobody publishes them'
        assert all(report.level < STALE for report in loop.reports(enabled=True))
    finally:
        assert loop.stop()
        node.destroy_node()


@pytest.mark.parametrize('deadline_ms', [0.0, 5.0])
def test_a_deadline_without_batches_is_said(graph, pipeline, capfd, deadline_ms):
    node, loop = started(graph, pipeline, ['front', 'rear'], batch_deadline_ms=deadline_ms)
    assert loop.stop()
    node.destroy_node()
    assert ('batch_deadline_ms has no effect' in capfd.readouterr().err) == (deadline_ms > 0)


def test_what_the_node_says_of_a_frame_is_not_said_again_for_its_camera(graph, pipeline):
    node, loop = started(graph, pipeline, ['front', 'rear'])
    publishers = [Camera(graph, f'/stuck{name}').matched() for name in ('front', 'rear')]
    publishers[0].publish(raw_image(b'short', 'bgr8', 64, 48, 192))
    graph.wait_for(lambda: node.statistics.snapshot().drops, 'the drop')
    said = node.health.condition().text
    assert '/stuckfront left out' in said
    assert loop.conditions(Thresholds()) == []
    front, rear = loop.reports(enabled=True)
    assert said in [one.text for one in front.conditions]
    assert not any('left out' in one.text for one in rear.conditions)
    publishers[1].close()
    graph.wait_for(lambda: not graph.node.count_publishers('/stuckrear'), 'the end of a camera')
    [condition] = loop.conditions(Thresholds())
    assert condition.text == 'rear is WARN: the status of each camera says why'
    assert 'nobody publishes /stuckrear' in loop.reports(enabled=True)[1].conditions[0].text
    assert loop.stop()
    publishers[0].close()
    node.destroy_node()
