"""Bad images and bad models: counted or refused with a reason, and the node goes on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Detection2DArray

from networks import write_constant_network, write_detector, yolov8_output
from nodes.colour_networks import NAMES, SIZE, write_detect, write_fragile, write_semantic
from nodes.graph import Camera, bgr_image, raw_image
from nodes.scenes import found, scene, three_boxes

ALL = scene(640, 480, *three_boxes(640, 480))
GREY = bytes(640 * 480)


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('models')
    write_detect(folder)
    return folder


@pytest.fixture(scope='module')
def node(graph, models):
    """Configured by each test as it needs; active with a good model when a test begins."""
    parameters = {'model': str(models / 'colours_detect.yaml'), 'autostart': False}
    with graph.running('detect_node', 'victim', parameters, {'image': '/bad/image'}) as node:
        assert node.change('configure')
        assert node.change('activate')
        yield node


@pytest.fixture(scope='module')
def camera(graph, node):
    return Camera(graph, '/bad/image').matched()


@pytest.fixture(scope='module')
def detections(graph, node):
    return graph.collect(Detection2DArray, node.topic('detections')).matched()


def drops(stats) -> dict[str, int]:
    return dict(zip(stats.drop_causes, stats.drop_counts, strict=True))


def count_one(node, cause, act):
    """Do `act` and wait until the node has counted one more drop for `cause`."""
    before = drops(node.stats()).get(cause, 0)
    act()
    return node.stats(lambda stats: drops(stats).get(cause, 0) > before)


@pytest.mark.parametrize(
    ('cause', 'image'),
    [
        ('empty', raw_image(b'', 'bgr8', 0, 0, 0)),
        ('empty', raw_image(b'', 'bgr8', 640, 480, 1920)),
        ('short_data', raw_image(GREY[:-1000], 'mono8', 640, 480, 640)),
        ('bad_step', raw_image(GREY, 'bgr8', 640, 480, 640)),
        ('unknown_encoding', raw_image(GREY, 'grb8', 640, 480, 640)),
        ('unknown_encoding', raw_image(GREY, '', 640, 480, 640)),
        ('odd_size', raw_image(bytes(15 * 11 * 2), 'yuv422', 15, 11, 30)),
        ('odd_size', raw_image(bytes(16 * 17), 'nv12', 16, 11, 16)),
        ('too_large', raw_image(bytes(100), 'mono8', 60_000, 60_000, 60_000)),
        ('too_large', raw_image(bytes(100), 'mono16', 2**31, 1, 2**32 - 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.encoding or 'none',
)
def test_a_bad_image_is_counted_and_the_next_one_is_served(node, camera, detections, cause, image):
    stats = count_one(node, cause, lambda: camera.publish(image))
    assert stats.frames_failed >= 1
    assert stats.frames_dropped == sum(stats.drop_counts)
    [message] = camera.show(bgr_image(ALL), detections)
    assert set(found(message)) == set(NAMES)


def test_an_image_whose_bytes_end_too_early_is_counted(node, camera, detections):
    for _ in range(2):  # the second one at the latest is taken as bytes
        camera.show(bgr_image(ALL), detections)
    damaged = serialize_message(bgr_image(ALL))[:-1000]
    count_one(node, 'corrupt', lambda: camera.publisher.publish(damaged))
    status = node.diagnostics(lambda s: 'it ends after' in s.message)
    assert 'image on /bad/image left out' in status.message
    [message] = camera.show(bgr_image(ALL), detections)
    assert set(found(message)) == set(NAMES)


def test_the_reason_is_logged_once_and_stands_in_the_diagnostics(node, camera, detections):
    bad = raw_image(GREY, 'lmn8', 640, 480, 640)
    for _ in range(3):
        count_one(node, 'unknown_encoding', lambda: camera.publish(bad))
    status = node.diagnostics(lambda s: 'lmn8' in s.message)
    assert status.level in (b'\x01', b'\x02')
    values = {value.key: value.value for value in status.values}
    assert int(values['dropped, unknown_encoding']) >= 3
    assert "unknown image encoding 'lmn8'" in values['latest error']
    assert '/bad/image' in values['latest error']
    assert node.output().count('lmn8') < 3


@pytest.mark.parametrize('stamp_ns', [0, 1_000_000_000])
def test_odd_stamps_are_served_and_spoken_of(node, camera, detections, stamp_ns):
    """Zero, and older than the one before."""
    camera.show(bgr_image(ALL), detections)
    detections.messages.clear()
    camera.publish(bgr_image(ALL), stamp_ns)
    message = detections.wait()
    assert message.header.stamp.sec == stamp_ns // 10**9
    assert set(found(message)) == set(NAMES)
    words = 'backwards' if stamp_ns else 'stamp zero'
    assert node.diagnostics(lambda s: words in s.message).level == b'\x01'


def reconfigure(node, model: Path) -> bool:
    """Load another model in the running node; whether it could."""
    if node.state() == 'active':
        assert node.change('deactivate')
        assert node.change('cleanup')
    result = node.set('model', str(model))
    assert result.successful, result.reason
    return node.change('configure') and node.change('activate')


def broken_models(models: Path) -> dict[str, tuple[str, str]]:
    """By name: the text of a model's YAML file, and words that the refusal must hold."""
    good = write_detect(models, 'good').with_suffix('.onnx').read_bytes()
    (models / 'truncated.onnx').write_bytes(good[: len(good) // 2])
    (models / 'text.onnx').write_text('<html>404 not found</html>')
    (models / 'nothing.onnx').write_bytes(b'')
    write_semantic(models, 'classes')
    return {
        'missing_onnx': ('onnx: nowhere.onnx\n', 'nowhere.onnx'),
        'truncated_onnx': ('onnx: truncated.onnx\n', 'truncated.onnx'),
        'not_onnx': ('onnx: text.onnx\n', 'text.onnx'),
        'empty_onnx': ('onnx: nothing.onnx\n', 'nothing.onnx'),
        'wrong_family': ('onnx: good.onnx\nfamily: retinanet\ntask: detect\n', 'should be deltas'),
        'wrong_family_and_task': (
            'onnx: good.onnx\nfamily: semantic\ntask: semantic\n',
            'start segment_node',
        ),
        'unknown_family': ('onnx: good.onnx\nfamily: yolo8\n', "did you mean 'yolov8'"),
        'class_count': ('onnx: good.onnx\nclasses: [red, green]\n', 'good.onnx'),
        'unknown_key': ('onnx: good.onnx\nthreshold: {score: 1}\n', 'threshold'),
        'wrong_type': ('onnx: good.onnx\nthresholds: {score: high}\n', 'score'),
        'wrong_range': ('onnx: good.onnx\nthresholds: {score: 7}\n', '0..1'),
        'not_yaml': ('onnx: [\n', 'not valid YAML'),
        'wrong_size': ('onnx: good.onnx\ninput: {size: [64, 64]}\n', '64x64'),
        'wrong_task': ('onnx: classes.onnx\n', 'segment_node'),
    }


def test_a_bad_model_is_refused_with_a_reason_and_a_good_one_then_loads(graph, node, models):
    for name, (text, words) in broken_models(models).items():
        file = models / f'{name}.yaml'
        file.write_text(text)
        assert not reconfigure(node, file), name
        assert node.state() == 'unconfigured'
        status = node.diagnostics(lambda s, words=words: words in s.message)
        assert status.level == b'\x02', name
        assert status.message.startswith('cannot configure: ')
        assert 'Traceback' not in status.message
    assert not reconfigure(node, models / 'nowhere.yaml')
    assert not reconfigure(node, Path('street_detekt'))
    assert reconfigure(node, models / 'colours_detect.yaml')
    # It may still tell of a bad image before, or by then of none for a while, but of no error.
    assert node.diagnostics(lambda s: s.message.endswith('active')).level != b'\x02'


def test_a_class_filter_that_names_no_class_is_refused(node, models):
    assert node.change('deactivate')
    assert node.change('cleanup')
    assert node.set('class_filter', ['rot']).successful  # which classes there are is not known yet
    assert not node.change('configure')
    status = node.diagnostics(lambda s: "no class 'rot'" in s.message)
    assert 'red, green, blue' in status.message
    assert node.set('class_filter', []).successful
    assert node.change('configure')
    assert node.change('activate')


@pytest.mark.parametrize('value', [np.inf, -np.inf])
def test_numbers_that_are_none_from_the_model_find_nothing_wrong(
    node, models, graph, camera, detections, value
):
    """One object is sound, everything else that the network says is not a number."""
    output = np.full((5, 32), value, np.float32)
    output[:, 3] = (160, 96, 32, 32, 0.9)
    metadata = {'names': "['thing']", 'task': 'detect', 'family': 'yolov8'}
    write_constant_network(models / 'nan.onnx', {'output0': output}, size=SIZE, metadata=metadata)
    (models / 'nan.yaml').write_text('onnx: nan.onnx\n')
    assert reconfigure(node, models / 'nan.yaml')
    camera.matched()
    [message] = camera.show(bgr_image(scene(640, 384)), detections)
    assert found(message) == {'thing': pytest.approx((288, 160, 352, 224), abs=1e-3)}


def test_a_thousand_detections(node, models, graph, camera, detections):
    x, y = np.meshgrid(np.arange(40) * 8 + 4, np.arange(25) * 7 + 4)
    boxes = np.column_stack([x.ravel(), y.ravel(), np.full(1000, 6), np.full(1000, 5)])
    write_constant_network(
        models / 'many.onnx',
        {'output0': yolov8_output(boxes, np.linspace(0.9, 0.5, 1000), 1000)},
        size=SIZE,
        metadata={'names': "['thing']", 'task': 'detect', 'family': 'yolov8'},
    )
    (models / 'many.yaml').write_text('onnx: many.onnx\nthresholds: {max_detections: 2000}\n')
    assert reconfigure(node, models / 'many.yaml')
    camera.matched()
    [message] = camera.show(bgr_image(scene(640, 384)), detections)
    assert len(message.detections) == 1000
    scores = [d.results[0].hypothesis.score for d in message.detections]
    assert scores == sorted(scores, reverse=True)
    last = message.detections[-1].bbox.center.position
    assert (last.x, last.y) == (2 * (39 * 8 + 4), 2 * (24 * 7 + 4))
    assert node.set('max_detections', 10).successful
    [message] = camera.show(bgr_image(scene(640, 384)), detections)
    assert len(message.detections) == 10


def test_a_failure_of_the_network_is_counted_and_the_next_image_is_served(
    node, models, camera, detections
):
    assert reconfigure(node, write_fragile(models))
    camera.matched()
    dull = bgr_image((ALL * 0.9).astype(np.uint8))
    [message] = camera.show(dull, detections)
    assert set(found(message)) == set(NAMES)
    stats = count_one(node, 'inference', lambda: camera.publish(bgr_image(ALL)))
    assert stats.frames_failed == 1
    status = node.diagnostics(lambda s: 'onnxruntime failed' in s.message)
    assert status.level == b'\x01'
    [message] = camera.show(dull, detections)
    assert set(found(message)) == set(NAMES)


def test_a_model_s_own_thresholds_hold_unless_set(node, models):
    """The parameter set in the test before stays; what nobody set follows the model."""
    write_detector(models, [[32, 24, 8, 8]], [[0.9]], ('thing',), yaml='thresholds: {iou: 0.35}\n')
    assert reconfigure(node, models / 'detector.yaml')
    assert node.get('iou_threshold') == pytest.approx(0.35)
    assert node.get('max_detections') == 10


def test_compressed_images(graph, node, models, camera, detections):
    assert node.change('deactivate')
    assert node.change('cleanup')
    assert node.set('model', str(models / 'colours_detect.yaml')).successful
    assert node.set('image_transport', 'compressed').successful
    assert node.change('configure')
    assert node.change('activate')
    jpegs = Camera(graph, '/bad/image/compressed', kind=CompressedImage)
    jpegs.matched()
    done, png = cv2.imencode('.png', ALL)
    assert done
    message = CompressedImage(format='png', data=png.tobytes())
    message.header.frame_id = 'zipped'
    [answer] = jpegs.show(message, detections)
    assert set(found(answer)) == set(NAMES)
    assert answer.header.frame_id == 'zipped'
    for cause, data in {
        'empty': b'',
        'corrupt': png.tobytes()[: len(png) // 2],
        'corrupt ': b'no picture at all',
    }.items():
        bad = CompressedImage(format='jpeg', data=data)
        count_one(node, cause.strip(), lambda bad=bad: jpegs.publish(bad))
    [answer] = jpegs.show(message, detections)
    assert set(found(answer)) == set(NAMES)


def test_frames_faster_than_the_model(graph, models):
    """Every frame is either answered or counted; the newest one is always answered."""
    parameters = {
        'model': str(models / 'colours_detect.yaml'),
        'qos_overrides./burst/image.subscription.depth': 500,
    }
    with graph.running('detect_node', 'bursty', parameters, {'image': '/burst/image'}) as node:
        camera = Camera(graph, '/burst/image', depth=500)
        camera.matched()
        answers = graph.collect(Detection2DArray, node.topic('detections'), 500).matched()
        image = bgr_image(scene(64, 48))
        camera.show(image, answers)
        before = node.stats()
        for _ in range(300):
            camera.publish(image)
        camera.show(image, answers)
        stats = node.stats(lambda s: s.frames_in == before.frames_in + 301)
        assert stats.frames_in == stats.frames_out + stats.frames_dropped
        assert list(stats.drop_causes) == ['replaced']
        assert stats.frames_dropped > 0
        assert stats.frames_failed == 0
