"""Nodes on a real GPU over DDS, beside the same nodes on the CPU: they give the same."""

from __future__ import annotations

import contextlib
import signal

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import write_detect, write_instance, write_semantic
from nodes.graph import Camera, bgr_image, mask_pixels, raw_image
from nodes.scenes import found, scene, three_boxes
from trt_perception.runtime.gpu_probes import ProbeFailed, cuda_gpus
from trt_perception.runtime.obstacles import gpu_obstacles, obstacles

GPU, CPU = 'onnxruntime-cuda', 'onnxruntime-cpu'
NODES = {
    'detect_node': (write_detect, 'detections', Detection2DArray),
    'segment_node': (write_instance, 'mask', Image),
    'segment_node ': (write_semantic, 'mask', Image),
}
SIZES = [(640, 480), (1920, 1080), (300, 300), (640, 480)]


def lacking():
    try:
        lacks = gpu_obstacles(GPU, cuda_gpus())
    except ProbeFailed as failed:
        return str(failed)
    return '; '.join([*lacks, *obstacles(GPU)])


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(lacking()), reason=lacking() or 'a GPU')]


@pytest.fixture(scope='module', params=NODES, ids=['detect', 'instance', 'semantic'])
def pair(request, graph, tmp_path_factory):
    """A camera, and results of the same network on GPU and CPU, with the node on the GPU."""
    write, topic, kind = NODES[request.param]
    model = str(write(tmp_path_factory.mktemp('models')))
    remaps = {'image': '/beside/image'}
    with contextlib.ExitStack() as stack:
        nodes = {}
        for name, backend in (('on_gpu', GPU), ('on_cpu', CPU)):
            parameters = {'model': model, 'backend': backend}
            running = graph.running(request.param.strip(), name, parameters, remaps)
            nodes[name] = stack.enter_context(running)
        for node in nodes.values():
            node.wait_state('active')
        camera = Camera(graph, '/beside/image')
        stack.callback(camera.close)
        graph.wait_for(lambda: camera.publisher.get_subscription_count() == 2, 'both nodes')
        results = [graph.collect(kind, node.topic(topic)).matched() for node in nodes.values()]
        yield camera, *results, nodes['on_gpu']


def content(message):
    return found(message) if isinstance(message, Detection2DArray) else mask_pixels(message)


@pytest.mark.parametrize(('width', 'height'), SIZES)
def test_the_same_as_on_the_cpu_at_sizes_that_change(pair, width, height):
    camera, on_gpu, on_cpu, _ = pair
    image = bgr_image(scene(width, height, *three_boxes(width, height)), frame_id='left')
    found_there, found_here = camera.show(image, on_gpu, on_cpu)
    assert found_there.header == found_here.header == image.header
    there, here = content(found_there), content(found_here)
    if isinstance(here, dict):
        assert set(there) == set(here)
        assert all(np.abs(np.subtract(there[name], here[name])).max() < 1 for name in here)
    else:
        assert here.any()
        assert (there == here).mean() > 0.999


def test_other_encodings_and_bytes_that_are_missing(pair):
    camera, on_gpu, on_cpu, node = pair
    pixels = scene(640, 480, *three_boxes(640, 480))
    before = node.stats().frames_dropped
    short = raw_image(pixels.tobytes()[: 640 * 480], 'bgr8', 640, 480, 640 * 3)
    camera.publish(short)
    node.stats(lambda stats: stats.frames_dropped > before)
    rgb = raw_image(pixels[:, :, ::-1].tobytes(), 'rgb8', 640, 480, 640 * 3)
    there, here = (content(message) for message in camera.show(rgb, on_gpu, on_cpu))
    assert there.keys() == here.keys() if isinstance(here, dict) else (there == here).mean() > 0.999


def test_it_says_where_frames_are_and_what_the_gpu_does(pair):
    status = pair[-1].diagnostics(lambda s: 'GPU' in {value.key for value in s.values})
    values = {value.key: value.value for value in status.values}
    assert values['backend'] == GPU
    assert 'frames stay on the GPU' in values['backend reason']
    assert 'MiB' in values['GPU memory']


def test_after_a_kill_the_gpu_is_there_for_the_next_process(graph, tmp_path):
    parameters = {'model': str(write_detect(tmp_path)), 'backend': GPU}
    image = bgr_image(scene(640, 480, *three_boxes(640, 480)))
    for number in (signal.SIGKILL, signal.SIGINT):
        node = graph.start('detect_node', 'killed', parameters, {'image': '/killed/image'})
        node.wait_state('active')
        camera = Camera(graph, '/killed/image').matched()
        detections = graph.collect(Detection2DArray, node.topic('detections')).matched()
        [message] = camera.show(image, detections)
        assert len(message.detections) == 3
        assert node.end(number) == (-9 if number == signal.SIGKILL else 0), node.output()
        detections.close()
        camera.close()


def test_several_cameras_share_one_network(graph, tmp_path):
    names = ['front', 'left', 'rear']
    parameters = {'model': str(write_detect(tmp_path)), 'backend': GPU, 'cameras': names}
    with graph.running('detect_node', 'shared', parameters) as node:
        node.wait_state('active')
        cameras = [Camera(graph, f'/{name}/image').matched() for name in names]
        topics = [f'/shared/{name}/detections' for name in names]
        results = [graph.collect(Detection2DArray, topic).matched() for topic in topics]
        sizes = [(640, 480), (320, 240), (1920, 1080)]
        for camera, result, size in zip(cameras, results, sizes, strict=True):
            [message] = camera.show(bgr_image(scene(*size, *three_boxes(*size))), result)
            assert len(message.detections) == 3
