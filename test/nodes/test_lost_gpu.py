"""What a node says and does when its GPU is lost, on a stand-in that fails where it is told to."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy

from networks import write_detector
from nodes.graph import Camera, bgr_image
from nodes.scenes import scene
from on_stand_in import CHOICE, CpuStages, lose, network_on
from trt_perception.model_spec import load_model_spec
from trt_perception.nodes.camera_input import CameraInput, Outputs
from trt_perception.nodes.frame_subscription import FrameSubscription
from trt_perception.nodes.health import ERROR, WARN, Health
from trt_perception.nodes.perception_loop import PerceptionLoop
from trt_perception.pipeline.making import make_pipeline
from trt_perception.pipeline.perception import GpuUse
from trt_perception.pipeline.statistics import PipelineStatistics
from trt_perception.pipeline.tracked import TrackedCameras

TOPIC = '/lost/image'


class Counted(Outputs):
    wants_pictures = False
    results = 0

    def publish(self, perceived, header):
        self.results += 1
        return {}


@pytest.fixture
def served(graph, driver, tmp_path):
    """Opens a loop with one camera; gives a call that shows it an image, its health and outputs."""
    publisher = Camera(graph, TOPIC)
    node = rclpy.create_node('lost', context=graph.context)
    health = Health(lambda _: None)
    made = []

    def opened(**use):
        spec = load_model_spec(write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9]], ('car',)))
        network = network_on(driver, spec.onnx)
        pipeline = make_pipeline(spec, network, CHOICE, GpuUse(**use), CpuStages)
        owner = SimpleNamespace(
            get_clock=node.get_clock,
            parameters=SimpleNamespace(max_age=0.0),
            statistics=PipelineStatistics(),
            health=health,
            newest_age_s=math.nan,
        )
        camera = CameraInput('', TOPIC, Counted())
        subscription = FrameSubscription(
            node, transport='raw', reliability='reliable', image=TOPIC, memory=pipeline.frame_memory
        )
        camera.open(owner, subscription)
        loop = PerceptionLoop(owner, pipeline, [camera], TrackedCameras())
        publisher.matched()
        made.extend((camera, pipeline))

        def show():
            publisher.publish(bgr_image(scene(64, 48)))
            loop.work([(camera, graph.wait_for(camera.subscription.take, 'the image'))])

        return show, health, camera.outputs

    yield opened
    for one in made:
        one.close()
    publisher.close()
    node.destroy_node()


def test_lost_once_it_is_a_warning_and_the_next_image_is_served(served, driver):
    show, health, outputs = served()
    show()
    assert (outputs.results, health.condition()) == (1, None)
    lose(driver)
    show()
    assert health.condition().level == WARN
    assert 'set up anew' in health.condition().text
    show()
    assert outputs.results == 2


def test_lost_again_it_is_an_error_until_the_node_is_configured_anew(served, driver):
    show, health, outputs = served()
    for _ in range(2):
        lose(driver)
        show()
    assert health.condition().level == ERROR
    assert 'illegal memory access' in health.condition().text
    show()
    assert health.condition().level == ERROR
    assert outputs.results == 0


def test_lost_again_the_cpu_serves_where_it_may(served, driver):
    show, health, outputs = served(cpu_fallback=True)
    show()
    for _ in range(2):
        lose(driver)
        show()
    assert 'goes on on the CPU' in health.condition().text
    assert health.condition().level == WARN
    show()
    assert outputs.results == 2
