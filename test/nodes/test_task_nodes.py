"""Poses, oriented boxes, classes and embeddings over DDS, each from the node that serves them."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from vision_msgs.msg import Classification, Detection2DArray

from networks import write_constant_network
from nodes.graph import Camera, bgr_image
from trt_perception.msg import Embeddings, KeyPoints2DArray

GREY = np.full((96, 128, 3), 90, np.uint8)
"""Twice the networks' input of 64x48."""


def rows(*values: float) -> np.ndarray:
    """float32 [rows, 62]: one anchor with these values, and silence."""
    output = np.zeros((len(values), 62), np.float32)
    output[:, 0] = values
    return output


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """ONNX files that need no YAML."""
    folder = tmp_path_factory.mktemp('models')
    points = (20, 10, 0.75, 70, -4, 0.25)
    outputs = {
        'pose': (rows(32, 24, 20, 10, 0.9, *points), "['person']", {'kpt_shape': '[2, 3]'}),
        'oriented': (rows(32, 24, 20, 8, 0.9, 0.5), "['ship']", {}),
        'classify': (np.array([0.25, 0.75], np.float32), "['cat', 'dog']", {}),
        'embed': (np.arange(64, dtype=np.float32), None, {'family': 'arcface'}),
    }
    for name, (output, names, more) in outputs.items():
        metadata = {'task': name, 'mean': '0', 'scale': '1', **more}
        if names is not None:
            metadata['names'] = names
        path = folder / f'{name}.onnx'
        write_constant_network(path, {'output0': output}, metadata=metadata)
    # What the last operator does not tell has to be said.
    (folder / 'classify.yaml').write_text('onnx: classify.onnx\noptions: {activation: none}\n')
    return folder


@contextlib.contextmanager
def showing(graph, node, model, kind_of):
    """A camera of a node that runs `model` now, and its answers on the topics of `kind_of`."""
    for step in ('deactivate', 'cleanup'):
        assert node.change(step)
    assert node.set('model', str(model)).successful
    for step in ('configure', 'activate'):
        assert node.change(step), node.output()
    answers = [graph.collect(kind, node.topic(name)).matched() for name, kind in kind_of.items()]
    camera = Camera(graph, f'/{node.name}/images').matched()
    yield lambda: camera.show(bgr_image(GREY, 'front'), *answers)
    camera.close()
    for answer in answers:
        answer.close()


def running(graph, executable, model):
    name = f'{executable}_of_tasks'
    remaps = {'image': f'/{name}/images'}
    return graph.running(executable, name, {'model': str(model)}, remaps)


@pytest.fixture(scope='module')
def detect(graph, models):
    with running(graph, 'detect_node', models / 'pose.onnx') as node:
        node.wait_state('active')
        yield node


@pytest.fixture(scope='module')
def classify(graph, models):
    with running(graph, 'classify_node', models / 'embed.onnx') as node:
        node.wait_state('active')
        yield node


def test_key_points_come_with_their_detections(graph, detect, models):
    kinds = {'detections': Detection2DArray, 'key_points': KeyPoints2DArray}
    with showing(graph, detect, models / 'pose.onnx', kinds) as show:
        detections, key_points = show()
    assert key_points.header == detections.header
    assert key_points.header.frame_id == 'front'
    [person], [box] = key_points.objects, detections.detections
    assert person.class_id == box.results[0].hypothesis.class_id == 'person'
    assert person.score == pytest.approx(box.results[0].hypothesis.score)
    # The picture is twice the network's input; the second point lies outside of it.
    points = [(p.x, p.y, p.confidence) for p in person.points]
    assert points == [pytest.approx((40, 20, 0.75)), pytest.approx((140, -8, 0.25))]


def test_oriented_boxes_have_their_angle(graph, detect, models):
    kinds = {'detections': Detection2DArray}
    with showing(graph, detect, models / 'oriented.onnx', kinds) as show:
        [[box]] = [message.detections for message in show()]
    assert box.bbox.center.theta == pytest.approx(0.5)
    assert (box.bbox.center.position.x, box.bbox.center.position.y) == pytest.approx((64, 48))
    assert (box.bbox.size_x, box.bbox.size_y) == pytest.approx((40, 16))


def test_an_embedding_model_looks_at_every_object(graph, detect, models):
    for step in ('deactivate', 'cleanup'):
        assert detect.change(step)
    assert detect.set('embedding_model', str(models / 'pose.onnx')).successful
    assert not detect.change('configure')
    status = detect.diagnostics(lambda s: 'embedding model pose' in s.message)
    assert 'a model for the task embed is needed' in status.message
    assert detect.set('embedding_model', str(models / 'embed.onnx')).successful
    for step in ('configure', 'activate'):
        assert detect.change(step), detect.output()
    kinds = {'detections': Detection2DArray, 'embeddings': Embeddings}
    with showing(graph, detect, models / 'pose.onnx', kinds) as show:
        detections, embeddings = show()
    assert embeddings.header == detections.header
    assert (len(detections.detections), embeddings.size, len(embeddings.values)) == (1, 64, 64)
    wanted = np.arange(64) / np.linalg.norm(np.arange(64))
    np.testing.assert_allclose(embeddings.values, wanted, atol=1e-6)
    for step in ('deactivate', 'cleanup'):
        assert detect.change(step)
    assert detect.set('embedding_model', '').successful
    for step in ('configure', 'activate'):
        assert detect.change(step)


def test_a_classification_model_is_sent_to_its_node(detect, models):
    for step in ('deactivate', 'cleanup'):
        assert detect.change(step)
    assert detect.set('model', str(models / 'classify.yaml')).successful
    assert not detect.change('configure')
    status = detect.diagnostics(lambda s: 'classify_node' in s.message)
    assert 'is for the task classify' in status.message
    assert 'start classify_node' in status.message
    assert detect.set('model', str(models / 'pose.onnx')).successful
    for step in ('configure', 'activate'):
        assert detect.change(step)


def test_an_image_has_one_embedding(graph, classify, models):
    with showing(graph, classify, models / 'embed.onnx', {'embeddings': Embeddings}) as show:
        [message] = show()
    assert (message.header.frame_id, message.size) == ('front', 64)
    wanted = np.arange(64) / np.linalg.norm(np.arange(64))
    np.testing.assert_allclose(message.values, wanted, atol=1e-6)


def test_classes_come_with_the_most_likely_first(graph, classify, models):
    kinds = {'classification': Classification}
    with showing(graph, classify, models / 'classify.yaml', kinds) as show:
        [message] = show()
    assert message.header.frame_id == 'front'
    assert [h.class_id for h in message.results] == ['dog', 'cat']
    assert [h.score for h in message.results] == pytest.approx([0.75, 0.25])
