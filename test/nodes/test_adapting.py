"""A node that moves between two sizes of its model, since the large one takes too long."""

from __future__ import annotations

import time

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from vision_msgs.msg import Detection2DArray, VisionInfo

from networks import write_detector
from nodes.graph import LATCHED, PATIENCE_S, Camera, bgr_image
from nodes.scenes import scene
from trt_perception.errors import ParameterError
from trt_perception.monitoring.gpu_state import GpuState
from trt_perception.monitoring.machine_watch import Machine
from trt_perception.monitoring.process_state import ProcessState
from trt_perception.nodes.adapting import adaptation_settings, adaptive_variants, machine_state
from trt_perception.nodes.tracked_parameters import DetectParameters

SIZES = {'large': (1600, 1280), 'small': (64, 48)}
TARGET_S = 0.002
"""What the large one cannot reach: to make a tensor of its picture takes more by itself."""


def test_without_variants_nothing_adapts():
    assert adaptive_variants(DetectParameters()) == ()


def test_variants_take_the_model_and_precision_of_the_node():
    parameters = DetectParameters(model='street', adaptive=('fp32', 'small'), target_latency=0.02)
    assert [str(name) for name in adaptive_variants(parameters)] == ['street:fp32', 'small:fp32']
    assert adaptation_settings(parameters).target_latency_ms == pytest.approx(20.0)


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        ({'adaptive': ('fp32', 'fp16')}, 'target_latency is 0 s: set both'),
        ({'target_latency': 0.02}, 'names 0 variants'),
        ({'adaptive': ('fp32',), 'target_latency': 0.02}, 'the only variant'),
        ({'adaptive': ('fp32', 'fp32'), 'target_latency': 0.02}, 'there twice'),
    ],
)
def test_what_does_not_go_together_is_refused(given, text):
    with pytest.raises(ParameterError, match=text):
        adaptive_variants(DetectParameters(**given))


def test_the_processor_that_runs_the_network_is_looked_at():
    assert machine_state(Machine(), on_cpu=True).load is None
    assert machine_state(Machine(), on_cpu=False).temperature_c is None
    gpu = GpuState('a GPU', 0.4, temperature_c=80.0, power_w=50.0, power_limit_w=100.0)
    machine = Machine(gpu, ProcessState(1.0, 1, 1, 1, 0.9))
    assert machine_state(machine, on_cpu=True).load == 0.9
    assert machine_state(machine, on_cpu=True).temperature_c is None
    state = machine_state(machine, on_cpu=False)
    assert (state.load, state.temperature_c, state.power) == (0.4, 80.0, 0.5)


@pytest.fixture
def models(tmp_path):
    """Two detectors that always see one car, in pictures of different sizes."""
    made = {}
    for name, (width, height) in SIZES.items():
        folder = tmp_path / name
        folder.mkdir()
        box = [[width / 2, height / 2, width / 4, height / 4]]
        file = write_detector(folder, box, [[0.9]], ('car',), size=(width, height))
        made[name] = str(file.rename(folder / f'{name}.yaml'))
    return made


def test_a_slow_variant_is_left_and_everybody_is_told(graph, models):
    """And before: what the parameters contradict each other in is told, and mended one by one."""
    parameters = {
        'model': models['large'],
        'adaptive': [models['large'], f'{models["small"]}:fp32'],
    }
    with graph.running('detect_node', 'adapts', parameters) as node:
        status = node.diagnostics(lambda s: s.level == b'\x02')
        assert 'target_latency is 0 s: set both, or leave both alone' in status.message
        assert node.set('target_latency', TARGET_S).successful
        assert node.change('configure')
        assert not node.set('target_latency', 0.1).successful, 'engines are open'
        assert 'adaptive: a grey image takes large:fp32 ' in node.output()
        assert node.change('activate')
        camera = Camera(graph, '/image').matched()
        answers = graph.collect(Detection2DArray, node.topic('detections'))
        told = graph.collect(VisionInfo, node.topic('vision_info'), LATCHED).matched()
        picture = bgr_image(scene(320, 240))
        status = node.diagnostics(lambda s: 'variant' in {v.key for v in s.values})
        values = {v.key: v.value for v in status.values}
        assert (values['variant'], values['moves between variants']) == ('large:fp32', '0')
        graph.wait_for(lambda: told.messages, 'vision_info')
        end = time.monotonic() + 3 * PATIENCE_S
        while 'moved from large:fp32 to small:fp32: a frame takes' not in node.output():
            camera.show(picture, answers)
            assert time.monotonic() < end, f'it does not move:\n{node.output()}'
        [answer] = camera.show(picture, answers)
        [car] = answer.detections
        assert car.bbox.size_x == pytest.approx(80, abs=2), 'of the same picture as before'
        values = {v.key: v.value for v in node.diagnostics(settled).values}
        assert values['moves between variants'] == '1'
        assert values['latest move'].startswith('from large:fp32 to small:fp32: a frame takes')
        assert node.stats().model == 'small'
        graph.wait_for(lambda: len(told.messages) >= 2, 'vision_info of the move')
        assert len(told.messages) == 2, 'once when configured, once for the move'
        told.close()
        answers.close()
        camera.close()


def settled(status) -> bool:
    return {v.key: v.value for v in status.values}.get('variant') == 'small:fp32'
