"""The street models in their nodes, against the truth of scenes that they were not trained on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from nodes.graph import Camera, bgr_image, mask_pixels
from trt_perception.scenes.classes import THING_CLASSES
from trt_perception.scenes.seeds import Split, scene_seed
from trt_perception.scenes.street import SceneFrame, StreetScene

MODELS = Path(__file__).resolve().parents[2] / 'config/models'
NODES = {
    'street_detect': 'detect_node',
    'street_instance': 'segment_node',
    'street_semantic': 'segment_node',
}
SIZES = [(640, 384), (1280, 720), (640, 480)]
CLEAR = 0.7
"""Visible share, and ..."""
LARGE = 500
"""... pixels at 640 wide, from which a thing must not be overlooked."""

pytestmark = pytest.mark.skipif(
    not all((MODELS / f'{model}.onnx').is_file() for model in NODES),
    reason='the street models have not been trained: config/models/*.onnx',
)


@pytest.fixture(scope='module')
def nodes(graph):
    with contextlib.ExitStack() as stack:
        started = {
            model: stack.enter_context(
                graph.running(node, model, {'model': model}, {'image': '/street/image'})
            )
            for model, node in NODES.items()
        }
        for node in started.values():
            node.wait_state('active')
        yield started


@pytest.fixture(scope='module')
def answers(graph, nodes):
    """For each scene: its truth, and the message on each topic."""
    topics = {
        'boxes': (Detection2DArray, nodes['street_detect'].topic('detections')),
        'objects': (Detection2DArray, nodes['street_instance'].topic('detections')),
        'object_mask': (Image, nodes['street_instance'].topic('mask')),
        'class_mask': (Image, nodes['street_semantic'].topic('mask')),
    }
    collected = {name: graph.collect(*topic).matched() for name, topic in topics.items()}
    camera = Camera(graph, '/street/image')
    graph.wait_for(lambda: camera.publisher.get_subscription_count() == 3, 'all nodes')
    found = []
    for index, size in enumerate(SIZES):
        frame = StreetScene(scene_seed(Split.TEST, index), size, light='day').render(1.0)
        messages = camera.show(bgr_image(frame.image), *collected.values())
        found.append((frame, dict(zip(collected, messages, strict=True))))
    return found


def boxes_of(message: Detection2DArray) -> tuple[np.ndarray, list[str]]:
    corners = [
        (
            d.bbox.center.position.x - d.bbox.size_x / 2,
            d.bbox.center.position.y - d.bbox.size_y / 2,
            d.bbox.center.position.x + d.bbox.size_x / 2,
            d.bbox.center.position.y + d.bbox.size_y / 2,
        )
        for d in message.detections
    ]
    names = [d.results[0].hypothesis.class_id for d in message.detections]
    return np.array(corners).reshape(-1, 4), names


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return common / ((box[2:] - box[:2]).prod() + areas - common)


def evident(frame: SceneFrame) -> list[int]:
    """Rows of the things that are large and hardly hidden."""
    scale = frame.image.shape[1] / 640
    areas = (frame.boxes[:, 2:] - frame.boxes[:, :2]).prod(axis=1) / scale**2
    return np.flatnonzero((frame.visibility > CLEAR) & (areas > LARGE)).tolist()


def matches(frame: SceneFrame, message: Detection2DArray) -> dict[int, int]:
    """Which detection belongs to which evident thing: same class, IoU above a half."""
    boxes, names = boxes_of(message)
    found = {}
    for row in evident(frame):
        same = np.array([name == THING_CLASSES[frame.class_ids[row]] for name in names], bool)
        overlap = iou(frame.boxes[row], boxes) * same if len(boxes) else np.zeros(1)
        if overlap.max() > 0.5:
            found[row] = int(overlap.argmax())
    return found


@pytest.mark.parametrize('topic', ['boxes', 'objects'])
def test_what_is_large_and_in_plain_sight_is_found(answers, topic):
    there = sum(len(evident(frame)) for frame, _ in answers)
    found = sum(len(matches(frame, messages[topic])) for frame, messages in answers)
    assert there >= 10
    assert found / there > 0.85


def test_masks_cover_the_things_that_they_belong_to(answers):
    overlaps = []
    for frame, messages in answers:
        pixels = mask_pixels(messages['object_mask'])
        assert pixels.shape == frame.instance_ids.shape
        for row, detection in matches(frame, messages['objects']).items():
            truth, ours = frame.instance_ids == row + 1, pixels == detection + 1
            overlaps.append((truth & ours).sum() / (truth | ours).sum())
    assert np.mean(overlaps) > 0.7


def test_the_class_of_most_pixels_is_right(answers):
    for frame, messages in answers:
        assert (mask_pixels(messages['class_mask']) == frame.semantic).mean() > 0.9
