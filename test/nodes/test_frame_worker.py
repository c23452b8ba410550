"""One thread that waits for images, and what becomes of those it has no time for."""

from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import numpy as np
import rclpy
from sensor_msgs.msg import Image

from nodes.graph import Camera, bgr_image, stamp_of
from nodes.middleware import numbered
from nodes.scenes import scene
from trt_perception.nodes.camera_input import CameraInput, Outputs
from trt_perception.nodes.frame_subscription import FrameSubscription
from trt_perception.nodes.frame_worker import FrameWorker
from trt_perception.nodes.health import Health
from trt_perception.nodes.image_wait import ImageWait
from trt_perception.pipeline.statistics import PipelineStatistics
from trt_perception.pipeline.waiting_frames import WaitingFrames

TOPIC = '/worked/image'
IMAGE = bgr_image(scene(64, 48))
PATIENCE_S = 20.0


class NoOutputs(Outputs):
    def publish(self, perceived, header):
        raise AssertionError('the work is the test')


class Slow:
    """Work that goes on for as long as the test wants."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def __call__(self, batch) -> None:
        [(_, arrival)] = batch
        self.stamps.append(stamp_of(arrival))
        self.begun.release()
        assert self.may_end.acquire(timeout=PATIENCE_S)

    def began(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S)


class Memory:
    """Memory for images, for which one may have to wait, as where the GPU hangs."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.there = threading.Event()
        self.there.set()

    def __call__(self, nbytes):
        self.asked.set()
        assert self.there.wait(PATIENCE_S)
        return np.empty(nbytes, np.uint8)


class Noted(WaitingFrames):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(1, max_batch=1, deadline_s=0.0)
        self.worked_s: list[float] = []
        self.max_ages_s: set[float] = set()

    def worked(self, seconds):
        self.worked_s.append(seconds)
        super().worked(seconds)

    def due_in_s(self, now_s, max_age_s=0.0):
        self.max_ages_s.add(max_age_s)
        return super().due_in_s(now_s, max_age_s)


@pytest.fixture
def running(graph):
    """A worker with one camera: what it works with, its figures, its faults."""
    node = rclpy.create_node('worker', context=graph.context)
    memory = Memory()
    subscription = FrameSubscription(
        node, transport='raw', reliability='reliable', image=TOPIC, memory=memory
    )
    tallied = SimpleNamespace(
        statistics=PipelineStatistics(), health=Health(lambda _: None), newest_age_s=math.nan
    )
    camera = CameraInput('', TOPIC, NoOutputs())
    camera.open(tallied, subscription)
    work, worked, faults, waiting = Slow(), [], [], Noted()
    worker = FrameWorker(
        [camera],
        ImageWait(graph.context, [subscription.handle]),
        waiting,
        work=work,
        worked=lambda: worked.append(len(work.stamps)),
        failed=faults.append,
        paused=lambda: '',
        max_age=lambda: 0.2,
    )
    worker.start()
    yield SimpleNamespace(
        worker=worker,
        work=work,
        waiting=waiting,
        worked=worked,
        faults=faults,
        statistics=tallied.statistics,
        memory=memory,
    )
    work.may_end.release(100)
    assert worker.stop()
    camera.close()
    node.destroy_node()


@pytest.fixture
def camera(graph):
    camera = Camera(graph, TOPIC)
    yield camera
    camera.close()


@numbered
def test_images_that_come_during_the_work_are_replaced_not_lost(graph, running, camera):
    camera.matched()
    heard = graph.collect(Image, TOPIC).matched()
    camera.publish(IMAGE)
    running.work.began()
    assert 0 < running.worker.working_s < PATIENCE_S
    stamps = [camera.publish(IMAGE) for _ in range(6)]
    # Here they have arrived, so that they have in the other subscription of this process too.
    heard.wait(lambda message: stamp_of(message) == stamps[-1])
    running.work.may_end.release()
    running.work.began()
    assert running.work.stamps[-1] == stamps[-1], 'the newest wins'
    assert dict(running.statistics.snapshot().drops) == {'replaced': 5}
    assert running.worked == [1], 'told after each batch, and not before'
    heard.close()


def test_an_image_for_which_there_is_no_memory_yet_is_work_too(graph, running, camera):
    """Whoever watches the network must see that nothing is served."""
    camera.matched()
    camera.publish(IMAGE)  # rclpy takes the first one
    running.work.began()
    running.work.may_end.release()
    graph.wait_for(lambda: running.worker.working_s == 0.0, 'the end of the work')
    running.memory.there.clear()
    camera.publish(IMAGE)
    assert running.memory.asked.wait(PATIENCE_S)
    time.sleep(0.1)
    assert 0.1 <= running.worker.working_s < PATIENCE_S
    running.memory.there.set()
    running.work.began()


def test_work_that_fails_is_told_of_and_the_next_image_served(running, camera):
    camera.matched()
    running.work.may_end = threading.Semaphore(0)
    running.work.stamps = None  # the work cannot append to it
    camera.publish(IMAGE)
    for _ in range(200):
        if running.faults:
            break
        threading.Event().wait(0.05)
    assert isinstance(running.faults[0], AttributeError)
    running.work.stamps = []
    stamp_ns = camera.publish(IMAGE)
    running.work.began()
    assert running.work.stamps == [stamp_ns]


def test_who_goes_next_is_told_how_long_a_batch_took_and_what_is_too_old(running, camera):
    camera.matched()
    camera.publish(IMAGE)
    running.work.began()
    threading.Event().wait(0.02)
    running.work.may_end.release()
    for _ in range(200):
        if running.waiting.worked_s:
            break
        threading.Event().wait(0.05)
    assert len(running.waiting.worked_s) == 1
    assert 0.02 <= running.waiting.worked_s[0] < PATIENCE_S
    assert running.waiting.max_ages_s == {0.2}
