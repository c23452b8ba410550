"""The segment node over DDS: masks in the pixels of the source, for both kinds of models."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray, LabelInfo, VisionInfo

from nodes.colour_networks import NAMES, write_detect, write_instance, write_semantic
from nodes.graph import LATCHED, Camera, bgr_image, mask_pixels
from nodes.scenes import found, scene, three_boxes, tolerance

SIZES = [(640, 480), (1920, 1080), (480, 640), (1000, 250), (300, 300)]
RED = (255, 0, 0)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    return tmp_path_factory.mktemp('models')


@pytest.fixture(scope='module')
def nodes(graph, models):
    colored = 'classes: [other, {name: red, color: [255, 0, 0]}, green, blue]\n'
    files = {'classes': write_semantic(models, extra=colored), 'objects': write_instance(models)}
    remaps = {'image': '/seg/image'}
    with contextlib.ExitStack() as stack:
        started = {
            name: stack.enter_context(
                graph.running('segment_node', name, {'model': str(file)}, remaps)
            )
            for name, file in files.items()
        }
        for node in started.values():
            node.wait_state('active')
        yield started


@pytest.fixture(scope='module')
def semantic(nodes):
    return nodes['classes']


@pytest.fixture(scope='module')
def instance(nodes):
    return nodes['objects']


@pytest.fixture(scope='module')
def camera(graph, semantic, instance):
    camera = Camera(graph, '/seg/image')
    graph.wait_for(lambda: camera.publisher.get_subscription_count() == 2, 'both nodes')
    return camera


@pytest.fixture(scope='module')
def class_masks(graph, semantic):
    return graph.collect(Image, semantic.topic('mask')).matched()


@pytest.fixture(scope='module')
def object_masks(graph, instance):
    return graph.collect(Image, instance.topic('mask')).matched()


@pytest.fixture(scope='module')
def detections(graph, instance):
    return graph.collect(Detection2DArray, instance.topic('detections')).matched()


def truth(width, height, boxes) -> np.ndarray:
    """[H, W]: 0, or the number of the class that covers the pixel, counted from 1."""
    classes = np.zeros((height, width), int)
    for index, x1, y1, x2, y2 in boxes:
        classes[y1:y2, x1:x2] = index + 1
    return classes


def away_from_edges(classes: np.ndarray, distance: float) -> np.ndarray:
    """bool [H, W]: pixels that have no other class nearer than `distance`."""
    kernel = np.ones((2 * int(np.ceil(distance)) + 1,) * 2, np.uint8)
    levels = classes.astype(np.uint8)
    return cv2.dilate(levels, kernel) == cv2.erode(levels, kernel)


@pytest.mark.parametrize(('width', 'height'), SIZES)
def test_the_semantic_mask_agrees_with_the_scene(camera, class_masks, width, height):
    boxes = three_boxes(width, height)
    image = bgr_image(scene(width, height, *boxes), frame_id='roof')
    [message] = camera.show(image, class_masks)
    assert message.header == image.header
    assert (message.encoding, message.width, message.height) == ('mono8', width, height)
    assert message.step == width
    classes = truth(width, height, boxes)
    agrees = mask_pixels(message) == classes
    assert agrees.mean() > 0.97
    assert agrees[away_from_edges(classes, tolerance(width, height))].all()


@pytest.mark.parametrize(('width', 'height'), SIZES)
def test_instance_masks_belong_to_their_detections(camera, object_masks, detections, width, height):
    boxes = three_boxes(width, height)
    image = bgr_image(scene(width, height, *boxes), frame_id='roof')
    mask, array = camera.show(image, object_masks, detections)
    assert mask.header == array.header == image.header
    assert (mask.encoding, mask.width, mask.height) == ('mono16', width, height)
    assert (mask.step, mask.is_bigendian) == (2 * width, 0)
    pixels = mask_pixels(mask)
    assert set(np.unique(pixels)) == {0, 1, 2, 3}
    wanted = truth(width, height, boxes)
    for number, name in enumerate(found(array), start=1):
        theirs, ours = wanted == NAMES.index(name) + 1, pixels == number
        assert (theirs & ours).sum() / (theirs | ours).sum() > 0.85, name
    # The mask's cells are 4 pixels of the network wide.
    far = away_from_edges(wanted, 4 * tolerance(width, height))
    assert ((pixels > 0) == (wanted > 0))[far].all()


def test_nothing_to_see_gives_empty_results(camera, class_masks, object_masks, detections):
    classes, objects, array = camera.show(
        bgr_image(scene(320, 240)), class_masks, object_masks, detections
    )
    assert not mask_pixels(classes).any()
    assert mask_pixels(objects).shape == (240, 320)
    assert not mask_pixels(objects).any()
    assert array.detections == []


def test_late_subscribers_learn_the_labels(graph, semantic, instance):
    labels = graph.collect(LabelInfo, semantic.topic('label_info'), LATCHED).wait()
    names = {label.class_id: label.class_name for label in labels.class_map}
    assert names == {0: 'other', 1: 'red', 2: 'green', 3: 'blue'}
    assert labels.threshold == 0
    labels = graph.collect(LabelInfo, instance.topic('label_info'), LATCHED).wait()
    assert [label.class_name for label in labels.class_map] == list(NAMES)
    vision = graph.collect(VisionInfo, instance.topic('vision_info'), LATCHED).wait()
    assert vision.method == 'yolov8 onnxruntime-cpu fp32'


def test_a_semantic_model_publishes_no_detections(graph, semantic, camera):
    topics = dict(graph.node.get_topic_names_and_types())
    assert semantic.topic('mask') in topics
    assert semantic.topic('detections') not in topics


def test_classes_that_are_filtered_out_become_unlabelled(semantic, camera, class_masks):
    boxes = three_boxes(640, 480)
    assert semantic.set('class_filter', ['red', 'other']).successful
    try:
        [message] = camera.show(bgr_image(scene(640, 480, *boxes)), class_masks)
    finally:
        assert semantic.set('class_filter', []).successful
    _, x1, y1, x2, y2 = boxes[1]
    assert mask_pixels(message)[(y1 + y2) // 2, (x1 + x2) // 2] == 255
    assert set(np.unique(mask_pixels(message))) <= {0, 1, 255}


def test_the_colour_mask_is_made_only_while_somebody_looks(graph, semantic, camera, class_masks):
    image = bgr_image(scene(640, 480, *three_boxes(640, 480)))
    camera.show(image, class_masks)

    def made(stats) -> int:
        return sum(stage.count for stage in stats.stages if stage.stage == 'color_mask')

    before = semantic.stats()
    assert made(before) == 0
    colors = graph.collect(Image, semantic.topic('color_mask')).matched()
    graph.wait_for(
        lambda: camera.show(image, class_masks) and colors.messages, 'a first colour mask'
    )
    mask, color = camera.show(image, class_masks, colors)
    assert (color.encoding, color.width, color.height) == ('rgb8', 640, 480)
    assert color.header == mask.header
    ids, pixels = mask_pixels(mask), mask_pixels(color)
    assert (pixels[ids == 1] == RED).all()
    for index in (0, 2, 3):
        assert len(np.unique(pixels[ids == index], axis=0)) == 1
    colors.close()

    def quiet() -> bool:
        """Nothing more was made for a frame: the node has learnt that nobody looks."""
        before = semantic.stats()
        camera.show(image, class_masks)
        after = semantic.stats(lambda s: s.frames_out > before.frames_out)
        return made(after) == made(before)

    graph.wait_for(quiet, 'the end of the colour masks')
    assert made(semantic.stats()) > 0


def test_a_detection_model_is_refused_and_named(graph, models):
    parameters = {'model': str(write_detect(models))}
    with graph.running('segment_node', 'wrong', parameters) as node:
        status = node.diagnostics(lambda s: s.level == b'\x02')
        assert 'colours_detect is for the task detect' in status.message
        assert 'start detect_node' in status.message
        assert node.state() == 'unconfigured'
