"""The detect node over DDS: what goes in as a picture comes out as boxes in its pixels."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from vision_msgs.msg import Detection2DArray, LabelInfo, VisionInfo

from nodes.colour_networks import NAMES, write_detect
from nodes.graph import LATCHED, Camera, bgr_image, raw_image
from nodes.scenes import found, scene, three_boxes, tolerance
from trt_perception.nodes.parameter_rows import START, parameter_rows
from trt_perception.nodes.tracked_parameters import DetectParameters

ALL = scene(640, 480, *three_boxes(640, 480))


@pytest.fixture(scope='module')
def node(graph, tmp_path_factory):
    model = write_detect(tmp_path_factory.mktemp('models'), extra='thresholds: {score: 0.3}\n')
    remaps = {'image': '/detect/image'}
    with graph.running('detect_node', 'detector', {'model': str(model)}, remaps) as node:
        node.wait_state('active')
        yield node


@pytest.fixture(scope='module')
def camera(graph, node):
    return Camera(graph, '/detect/image').matched()


@pytest.fixture(scope='module')
def detections(graph, node):
    return graph.collect(Detection2DArray, node.topic('detections')).matched()


@pytest.fixture
def changed(node):
    """Sets parameters for one test."""
    before = {}

    def change(name, value):
        before.setdefault(name, node.get(name))
        return node.set(name, value)

    yield change
    for name, value in before.items():
        assert node.set(name, value).successful


def test_nothing_to_see_gives_an_empty_array(camera, detections):
    [message] = camera.show(bgr_image(scene(640, 480)), detections)
    assert message.detections == []
    assert message.header.frame_id == 'camera_optical'


def test_stamp_and_frame_id_are_those_of_the_image_everywhere(camera, detections):
    image = bgr_image(ALL, frame_id='left/optical')
    [message] = camera.show(image, detections)
    assert message.header == image.header
    assert message.header.frame_id == 'left/optical'
    assert len(message.detections) == 3
    assert all(detection.header == message.header for detection in message.detections)


@pytest.mark.parametrize(
    ('width', 'height'), [(640, 480), (1920, 1080), (480, 640), (1000, 250), (300, 300)]
)
def test_boxes_are_in_pixels_of_the_source_at_any_aspect_ratio(camera, detections, width, height):
    """This also changes the size in mid-stream."""
    boxes = three_boxes(width, height)
    [message] = camera.show(bgr_image(scene(width, height, *boxes)), detections)
    corners = found(message)
    assert set(corners) == set(NAMES)
    for index, *wanted in boxes:
        difference = np.abs(np.subtract(corners[NAMES[index]], wanted))
        assert difference.max() <= tolerance(width, height), NAMES[index]


@pytest.mark.parametrize(('width', 'height'), [(1, 1), (1, 4000), (8000, 6000)])
def test_absurd_sizes_are_served(camera, detections, width, height):
    image = raw_image(bytes(width * height), 'mono8', width, height, width)
    [message] = camera.show(image, detections)
    assert message.detections == []


@pytest.mark.parametrize(
    ('encoding', 'pixels'),
    [
        ('rgb8', ALL[:, :, ::-1]),
        ('bgra8', np.dstack([ALL, np.zeros_like(ALL[:, :, :1])])),
        ('bgr16', ALL.astype('<u2') * 257),
    ],
)
def test_other_encodings_and_padded_rows_give_the_same_boxes(camera, detections, encoding, pixels):
    [plain] = camera.show(bgr_image(ALL), detections)
    rows = pixels.reshape(480, -1).copy().view(np.uint8)
    padded = np.hstack([rows, np.full((480, 40), 255, np.uint8)])
    [other] = camera.show(
        raw_image(padded.tobytes(), encoding, 640, 480, padded.shape[1]), detections
    )
    assert found(other) == found(plain)


def test_classes_and_scores(camera, detections):
    [message] = camera.show(bgr_image(ALL), detections)
    hypotheses = [detection.results[0].hypothesis for detection in message.detections]
    assert [hypothesis.class_id for hypothesis in hypotheses] == ['red', 'green', 'blue']
    assert [h.score for h in hypotheses] == pytest.approx([0.9, 0.8, 0.7])
    assert all(len(detection.results) == 1 for detection in message.detections)
    assert [detection.id for detection in message.detections] == ['', '', '']
    assert [detection.bbox.center.theta for detection in message.detections] == [0, 0, 0]


def test_class_id_may_be_the_index_of_label_info(graph, node, camera, detections, changed):
    assert changed('class_id', 'index').successful
    [message] = camera.show(bgr_image(ALL), detections)
    labels = graph.collect(LabelInfo, node.topic('label_info'), LATCHED).wait()
    names = {str(label.class_id): label.class_name for label in labels.class_map}
    assert [names[index] for index in found(message)] == ['red', 'green', 'blue']


def test_late_subscribers_learn_the_labels_and_the_model(graph, node):
    labels = graph.collect(LabelInfo, node.topic('label_info'), LATCHED).wait()
    assert [(c.class_id, c.class_name) for c in labels.class_map] == list(enumerate(NAMES))
    assert labels.threshold == pytest.approx(0.3)
    vision = graph.collect(VisionInfo, node.topic('vision_info'), LATCHED).wait()
    assert vision.method == 'yolov8 onnxruntime-cpu fp32'
    assert vision.database_location == node.topic('label_info')


def test_thresholds_show_the_model_s_values(node):
    assert node.get('score_threshold') == pytest.approx(0.3)
    assert node.get('iou_threshold') == pytest.approx(0.6)
    assert node.get('max_detections') == 300


@pytest.mark.parametrize(
    ('name', 'value', 'left'),
    [
        ('score_threshold', 0.75, ['red', 'green']),
        ('score_threshold', 1, []),
        ('max_detections', 1, ['red']),
        ('class_filter', ['blue', 'red'], ['red', 'blue']),
    ],
)
def test_what_is_found_changes_at_run_time(camera, detections, changed, name, value, left):
    result = changed(name, value)
    assert result.successful, result.reason
    [message] = camera.show(bgr_image(ALL), detections)
    assert list(found(message)) == left


def test_the_labels_follow_the_threshold(graph, node, changed):
    labels = graph.collect(LabelInfo, node.topic('label_info'), LATCHED)
    changed('score_threshold', 0.5)
    labels.wait(lambda message: message.threshold == 0.5)


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('score_threshold', 1.5, 'Min: 0.0, Max: 1.0'),
        ('score_threshold', -1, 'from 0.0 to 1.0'),
        ('score_threshold', 'high', 'from 0.0 to 1.0'),
        ('iou_threshold', float('nan'), '0.0'),
        ('max_detections', 0, 'Min: 1, Max: 65535'),
        ('max_detections', 1.5, 'whole number from 1 to 65535'),
        ('class_filter', ['rde'], "did you mean 'red'.* red, green, blue"),
        ('class_filter', 'red', 'list of texts'),
        ('class_id', 'number', 'one of name, index'),
        ('autostart', False, 'read-only'),
        ('model', 'street_detect', 'cannot change while the node is configured.*cleanup'),
        ('backend', 'onnxruntime-cpu', 'cannot change while'),
        ('backend', 'tensorrrt', 'one of auto, '),
        ('precision', 'int3', 'one of fp32, fp16, int8'),
        ('threads', 4, 'cannot change while'),
    ],
)
def test_a_refused_value_says_what_is_allowed(node, name, value, words):
    before = node.get(name)
    result = node.set(name, value)
    assert not result.successful
    assert re.search(words, result.reason), result.reason
    assert node.get(name) == before


@pytest.mark.parametrize('row', parameter_rows(DetectParameters), ids=lambda row: row.name)
def test_every_parameter_describes_itself(node, row):
    descriptor = node.describe(row.name)
    assert descriptor.description == row.description
    assert row.allowed in descriptor.additional_constraints
    assert descriptor.read_only == (row.change == START)
    ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
    assert [(r.from_value, r.to_value) for r in ranges] == (
        [] if row.lower is None else [(row.lower, row.upper)]
    )


def test_setting_a_locked_parameter_to_its_value_is_no_change(node):
    assert node.set('model', node.get('model')).successful


def test_a_parameter_cannot_be_deleted(node):
    result = node.delete('score_threshold')
    assert not result.successful
    assert 'cannot be deleted' in result.reason


def test_an_empty_class_filter_keeps_all(camera, detections, changed):
    changed('class_filter', ['red'])
    assert changed('class_filter', []).successful
    [message] = camera.show(bgr_image(ALL), detections)
    assert len(message.detections) == 3


def test_paused_frames_are_counted_and_the_model_stays(node, camera, detections):
    dropped = node.stats().frames_dropped
    answer = node.enable(False)
    assert answer.success
    assert answer.message == 'active, paused by ~/enable'
    assert node.state() == 'active'
    try:
        silent = len(detections.messages)
        camera.publish(bgr_image(ALL))
        stats = node.stats(lambda s: s.frames_dropped == dropped + 1)
        assert dict(zip(stats.drop_causes, stats.drop_counts, strict=True))['paused'] == 1
        assert len(detections.messages) == silent
        assert 'paused' in node.diagnostics().message
    finally:
        assert node.enable(True).message == 'active'
    [message] = camera.show(bgr_image(ALL), detections)
    assert len(message.detections) == 3


def test_stats_say_what_runs_and_how_long_each_stage_took(node, camera, detections):
    before = node.stats()
    camera.show(bgr_image(ALL), detections)
    stats = node.stats(lambda s: s.frames_out > before.frames_out)
    assert stats.frames_in == stats.frames_out + stats.frames_dropped
    assert stats.model == 'colours_detect'
    assert stats.backend == 'onnxruntime-cpu'
    assert stats.precision == 'fp32'
    assert len(stats.engine_fingerprint) == 16
    assert 0 <= stats.newest_age_s < 60
    assert [stage.stage for stage in stats.stages] == [
        'wait', 'convert', 'preprocess', 'infer', 'decode', 'message', 'publish', 'total',
        'since_stamp',
    ]  # fmt: skip
    for stage in stats.stages:
        assert stage.count == stats.frames_out
        assert 0 <= stage.p50_ms <= stage.p99_ms
    assert stats.stages[-1].p50_ms > stats.stages[3].p50_ms


def test_diagnostics_are_ok_and_name_what_runs(node, camera, detections):
    camera.show(bgr_image(ALL), detections)
    status = node.diagnostics(lambda s: s.level == b'\x00')
    values = {value.key: value.value for value in status.values}
    assert status.name == 'detector: perception'
    assert status.message == 'active'
    assert values['model'] == 'colours_detect'
    assert values['backend'] == 'onnxruntime-cpu'
    assert 'onnxruntime-cpu is present' in values['backend reason']
    assert values['rate'].endswith('Hz')
    assert 'infer p50 / p99' in values
