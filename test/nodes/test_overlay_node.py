"""The overlay node over DDS: images and results in, pictures of the same stamp out."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from vision_msgs.msg import (
    Classification,
    Detection2D,
    Detection2DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    VisionClass,
)

from nodes.graph import LATCHED, Camera, bgr_image, raw_image
from trt_perception.msg import KeyPoint2D, KeyPoints2D, KeyPoints2DArray
from trt_perception.palette import name_color, palette_color

WIDTH, HEIGHT = 320, 240
GREY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
TOPICS = (
    *('detections', 'instances', 'instance_mask', 'mask', 'key_points', 'classification'),
    'label_info',
)
PLAIN = {
    'boxes': True,
    'line_width': 3,
    'labels': False,
    'status': False,
    'mask_opacity': 1.0,
    'timeout': 0.3,
}


def detections(*boxes: tuple[str, int, int, int, int]) -> Detection2DArray:
    """Boxes (class, x, y, width, height) by their centres."""
    message = Detection2DArray()
    for name, x, y, width, height in boxes:
        one = Detection2D(results=[ObjectHypothesisWithPose()])
        one.results[0].hypothesis.class_id = name
        one.results[0].hypothesis.score = 0.9
        one.bbox.center.position.x, one.bbox.center.position.y = float(x), float(y)
        one.bbox.size_x, one.bbox.size_y = float(width), float(height)
        message.detections.append(one)
    return message


def mask(values: np.ndarray) -> Image:
    encoding = {1: 'mono8', 2: 'mono16'}[values.itemsize]
    height, width = values.shape
    return raw_image(values.tobytes(), encoding, width, height, width * values.itemsize)


def pixels_of(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


class Inputs:
    """Publishes all inputs of one overlay node."""

    def __init__(self, graph, prefix: str) -> None:
        self.graph = graph
        kinds = {
            'detections': Detection2DArray,
            'instances': Detection2DArray,
            'key_points': KeyPoints2DArray,
            'classification': Classification,
        }
        self._cameras = {
            name: Camera(graph, f'{prefix}/{name}', kind=kinds.get(name, Image))
            for name in ('image', *TOPICS[:-1])
        }
        self.labels = graph.node.create_publisher(LabelInfo, f'{prefix}/label_info', LATCHED)

    def matched(self) -> Inputs:
        for camera in self._cameras.values():
            camera.matched()
        return self

    def publish(self, stamp_ns: int | None = None, **messages) -> int:
        """Publish messages of one stamp, in the order given; returns the stamp."""
        for name, message in messages.items():
            stamp_ns = self._cameras[name].publish(message, stamp_ns)
        return stamp_ns

    def left(self) -> None:
        """Wait until nobody subscribes any more."""
        for camera in self._cameras.values():
            self.graph.wait_for(
                lambda camera=camera: not camera.publisher.get_subscription_count(),
                f'{camera.publisher.topic_name} to be left',
            )

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.close()
        self.graph.node.destroy_publisher(self.labels)


@pytest.fixture(scope='module')
def node(graph):
    remaps = {name: f'/over/{name}' for name in ('image', *TOPICS)}
    parameters = PLAIN | {'inputs': ['detections']}
    with graph.running('overlay_node', 'overlay', parameters, remaps) as node:
        node.wait_state('active')
        yield node


@pytest.fixture(scope='module')
def inputs(graph):
    inputs = Inputs(graph, '/over')
    yield inputs
    inputs.close()


@pytest.fixture
def pictures(graph, node, inputs):
    """What is drawn while somebody looks."""
    collected = graph.collect(Image, node.topic('overlay'))
    inputs.matched()
    yield collected
    collected.close()
    graph.wait_for(lambda: not graph.node.count_subscribers('/over/image'), 'the inputs to be left')


@pytest.fixture
def expecting(node, inputs):
    """Makes the node wait for other inputs."""

    def expect(*names, **parameters):
        for step in ('deactivate', 'cleanup'):
            assert node.change(step)
        inputs.left()
        for name, value in {'inputs': list(names), **PLAIN, **parameters}.items():
            result = node.set(name, value)
            assert result.successful, result.reason
        for step in ('configure', 'activate'):
            assert node.change(step)

    yield expect
    expect('detections')


def picture_of(pictures, stamp_ns: int) -> np.ndarray:
    message = pictures.wait(
        lambda m: m.header.stamp.sec * 10**9 + m.header.stamp.nanosec == stamp_ns
    )
    return pixels_of(message)


def bgr(rgb: tuple[int, int, int]) -> list[int]:
    return list(rgb[::-1])


def test_nothing_is_subscribed_while_nobody_looks(graph, node, inputs):
    status = node.diagnostics(lambda s: any('nobody' in v.value for v in s.values))
    assert status.level == b'\x00'
    assert graph.node.count_subscribers('/over/image') == 0
    assert node.stats().frames_in == 0


def test_without_objects_the_picture_is_the_image(inputs, pictures):
    stamp = inputs.publish(image=bgr_image(GREY, 'left'), detections=detections())
    np.testing.assert_array_equal(picture_of(pictures, stamp), GREY)
    [message] = pictures.messages
    assert (message.header.frame_id, message.encoding) == ('left', 'bgr8')


def test_boxes_are_drawn_where_they_are(inputs, pictures):
    found = detections(('car', 100, 120, 80, 60), ('dog', 250, 60, 40, 40))
    # The other order: the results may overtake the image.
    stamp = inputs.publish(detections=found, image=bgr_image(GREY))
    picture = picture_of(pictures, stamp)
    changed = np.argwhere((picture != GREY).any(axis=2))
    left = changed[changed[:, 1] < 200]
    assert (left.min(axis=0) - (90, 60)).max() <= 1
    assert ((150, 140) - left.max(axis=0)).max() <= 1
    assert picture[120, 61].tolist() == pytest.approx(bgr(name_color('car')), abs=60)
    assert picture[60, 231].tolist() == pytest.approx(bgr(name_color('dog')), abs=60)
    assert (picture[120, 100] == 90).all()


def test_an_image_without_results_is_drawn_after_a_while(inputs, pictures):
    stamp = inputs.publish(image=bgr_image(GREY))
    np.testing.assert_array_equal(picture_of(pictures, stamp), GREY)


def test_results_of_stamp_zero_are_drawn_on_no_image(expecting, inputs, pictures):
    """They may be those of any image before: a slow network answers one that has passed."""
    expecting('detections', timeout=5.0)
    inputs.matched()
    inputs.publish(0, image=bgr_image(GREY))
    inputs.publish(0, image=bgr_image(GREY + 90))
    inputs.publish(0, detections=detections(('car', 100, 120, 80, 60)))
    message = pictures.wait(lambda m: pixels_of(m)[0, 0, 0] == 180)
    np.testing.assert_array_equal(pixels_of(message), GREY + 90)
    # The stamp is what made the difference.
    stamp = inputs.publish(image=bgr_image(GREY), detections=detections(('car', 100, 120, 80, 60)))
    assert (picture_of(pictures, stamp) != GREY).any()


def test_a_stamp_of_another_clock_is_no_latency(expecting, node, inputs, pictures):
    expecting('detections')
    inputs.matched()
    for stamp_ns in (1_000_000_000, None):
        stamp_ns = inputs.publish(stamp_ns, image=bgr_image(GREY), detections=detections())
        picture_of(pictures, stamp_ns)
    stats = node.stats(lambda s: s.frames_out >= 2)
    [since_stamp] = [stage for stage in stats.stages if stage.stage == 'since_stamp']
    assert since_stamp.count == 1
    assert since_stamp.p99_ms < 1e6


def test_a_paused_simulator_makes_no_camera_silent(graph):
    parameters = PLAIN | {'use_sim_time': True}
    with graph.running('overlay_node', 'halted', parameters, {'image': '/halted/image'}) as node:
        node.wait_state('active')
        pictures = graph.collect(Image, node.topic('overlay'))
        camera = Camera(graph, '/halted/image').matched()
        clock = graph.node.create_publisher(Clock, '/clock', 1)
        graph.wait_for(clock.get_subscription_count, 'a subscriber of /clock')
        now = Clock()
        now.clock.sec = 100
        again = graph.node.create_timer(0.5, lambda: clock.publish(now))  # one may get lost
        words = re.compile(r'stands still at 100\.000 s for ([6-9]|\d\d) s')
        paused = node.diagnostics(lambda s: words.search(s.message))
        assert paused.level == b'\x01'
        assert 'no image on' not in paused.message
        graph.node.destroy_timer(again)
        graph.node.destroy_publisher(clock)
        pictures.close()
        camera.close()


def test_an_image_whose_results_were_dropped_gives_way_to_a_newer_one(node, inputs, pictures):
    inputs.publish(image=bgr_image(GREY))
    stamp = inputs.publish(image=bgr_image(GREY), detections=detections())
    picture_of(pictures, stamp)
    stats = node.stats(lambda s: 'unpaired' in s.drop_causes)
    assert stats.drop_counts[list(stats.drop_causes).index('unpaired')] >= 1
    assert len(pictures.messages) == 1


def test_an_image_that_still_waits_is_counted_when_nobody_looks_any_more(
    graph, expecting, node, inputs
):
    expecting('detections', timeout=60.0)
    pictures = graph.collect(Image, node.topic('overlay'))
    inputs.matched()
    inputs.publish(image=bgr_image(GREY))
    node.diagnostics(lambda s: any((v.key, v.value) == ('images that wait', '1') for v in s.values))
    pictures.close()
    inputs.left()
    node.stats(lambda s: s.frames_in == s.frames_out + sum(s.drop_counts))


def test_a_semantic_mask_takes_its_names_and_colours(expecting, inputs, pictures):
    expecting('mask')
    labels = [VisionClass(class_id=index, class_name=n) for index, n in enumerate(('road', 'sky'))]
    inputs.labels.publish(LabelInfo(class_map=labels))
    inputs.matched()
    values = np.full((HEIGHT, WIDTH), 255, np.uint8)
    values[:100], values[200:] = 1, 0

    def colours(stamp: int) -> list[list[int]]:
        picture = picture_of(pictures, stamp)
        return [picture[y, 10].tolist() for y in (50, 150, 220)]

    wanted = [bgr(name_color('sky')), [90, 90, 90], bgr(name_color('road'))]
    # Labels and masks come on different topics: which arrives first is open.
    for _ in range(50):
        if colours(inputs.publish(image=bgr_image(GREY), mask=mask(values))) == wanted:
            return
    pytest.fail('the names were never used')


def test_an_instance_mask_takes_the_colours_of_its_objects(expecting, inputs, pictures):
    expecting('detections', 'instance_mask', boxes=False)
    inputs.matched()
    values = np.zeros((HEIGHT, WIDTH), np.uint16)
    values[100:140, 80:120], values[45:75, 240:260] = 1, 2
    stamp = inputs.publish(
        image=bgr_image(GREY),
        instance_mask=mask(values),
        detections=detections(('car', 100, 120, 40, 40), ('dog', 250, 60, 20, 30)),
    )
    picture = picture_of(pictures, stamp)
    assert picture[120, 100].tolist() == bgr(name_color('car'))
    assert picture[60, 250].tolist() == bgr(name_color('dog'))
    assert picture[120, 150].tolist() == [90, 90, 90]


def test_masks_of_another_node_have_objects_of_their_own(expecting, inputs, pictures):
    """Boxes come from one node, masks from another: `mask` may be an instance mask too."""
    expecting('detections', 'instances', 'mask')
    inputs.matched()
    values = np.zeros((HEIGHT, WIDTH), np.uint16)
    values[100:140, 80:120] = 1
    stamp = inputs.publish(
        image=bgr_image(GREY),
        mask=mask(values),
        instances=detections(('lorry', 100, 120, 40, 40)),
        detections=detections(('dog', 250, 60, 40, 40)),
    )
    picture = picture_of(pictures, stamp)
    assert picture[120, 100].tolist() == bgr(name_color('lorry'))
    assert picture[60, 231].tolist() == pytest.approx(bgr(name_color('dog')), abs=60)


def test_by_default_it_waits_for_what_has_publishers(expecting, inputs, pictures, node):
    expecting(timeout=60.0)
    inputs.matched()
    waits = node.diagnostics(lambda s: any('detections' in v.value for v in s.values))
    [listed] = [v.value for v in waits.values if v.key == 'inputs']
    assert listed == (
        'image, classification, detections, instance_mask, instances, key_points, mask'
    )
    stamp = inputs.publish(
        image=bgr_image(GREY),
        mask=mask(np.full((HEIGHT, WIDTH), 255, np.uint8)),
        instance_mask=mask(np.zeros((HEIGHT, WIDTH), np.uint16)),
        instances=detections(),
        detections=detections(),
        key_points=KeyPoints2DArray(),
        classification=Classification(),
    )
    np.testing.assert_array_equal(picture_of(pictures, stamp), GREY)


@pytest.mark.parametrize(
    'wrong',
    [
        raw_image(b'', 'mono8', 0, 0, 0),
        raw_image(bytes(10), 'mono8', WIDTH, HEIGHT, WIDTH),
        raw_image(bytes(WIDTH * HEIGHT * 3), 'rgb8', WIDTH, HEIGHT, WIDTH * 3),
    ],
)
def test_a_wrong_mask_is_counted_and_the_next_one_drawn(expecting, node, inputs, pictures, wrong):
    expecting('mask')
    inputs.matched()
    inputs.publish(image=bgr_image(GREY), mask=wrong)
    assert node.stats(lambda s: s.frames_failed == 1)
    right = mask(np.full((HEIGHT, WIDTH), 255, np.uint8))
    stamp = inputs.publish(image=bgr_image(GREY), mask=right)
    np.testing.assert_array_equal(picture_of(pictures, stamp), GREY)


def test_a_mask_of_another_size_is_stretched(expecting, inputs, pictures):
    expecting('mask')
    inputs.matched()
    values = np.full((HEIGHT // 2, WIDTH // 2), 255, np.uint8)
    values[:60] = 1
    picture = picture_of(pictures, inputs.publish(image=bgr_image(GREY), mask=mask(values)))
    assert picture[119, 0].tolist() != [90, 90, 90]
    assert picture[121, 0].tolist() == [90, 90, 90]


def points(*objects: list[tuple[float, float, float]]) -> KeyPoints2DArray:
    """A person each, whose points are joined one to the next."""
    return KeyPoints2DArray(
        skeleton=[0, 1, 1, 2, 2],  # one number too many
        objects=[
            KeyPoints2D(
                class_id='person',
                points=[KeyPoint2D(x=x, y=y, confidence=c) for x, y, c in one],
            )
            for one in objects
        ],
    )


def test_key_points_and_their_skeleton_are_drawn(expecting, inputs, pictures):
    expecting('detections', 'key_points', boxes=False)
    inputs.matched()
    posed = points([(60.5, 60.5, 0.9), (160.5, 60.5, 0.9), (160.5, 200.5, 0.1)])
    stamp = inputs.publish(
        image=bgr_image(GREY),
        key_points=posed,
        detections=detections(('person', 110, 120, 120, 160)),
    )
    picture = picture_of(pictures, stamp)
    for x in (60, 110, 160):
        assert picture[60, x].tolist() == pytest.approx(bgr(name_color('person')), abs=70)
    assert (picture[80:] == 90).all()
    # Without their objects they are drawn all the same: the results of another node.
    stamp = inputs.publish(image=bgr_image(GREY), key_points=posed, detections=detections())
    np.testing.assert_array_equal(picture_of(pictures, stamp), picture)


def test_a_turned_box_is_drawn_turned(inputs, pictures):
    """At 45 degrees, x towards y, the right end of a long box lies below its centre."""
    found = detections(('ship', 160, 120, 120, 4))
    found.detections[0].bbox.center.theta = np.pi / 4
    picture = picture_of(pictures, inputs.publish(image=bgr_image(GREY), detections=found))
    y, x = np.nonzero((picture != 90).any(axis=2))
    assert np.corrcoef(x, y)[0, 1] > 0.95
    assert (x.max() - x.min()) == pytest.approx(124 / np.sqrt(2), abs=8)


def test_a_classification_is_a_caption(expecting, inputs, pictures):
    expecting('classification', labels=True)
    inputs.matched()
    shown = Classification(results=[ObjectHypothesis(class_id='cat', score=0.9)])
    picture = picture_of(pictures, inputs.publish(image=bgr_image(GREY), classification=shown))
    y, x = np.nonzero((picture != 90).any(axis=2))
    assert x.max() < 100
    assert y.max() < 40
    apart = np.abs(picture.astype(int) - bgr(name_color('cat'))).max(axis=2)
    assert (apart < 30).sum() > 100


WRONG_BOXES = [
    (-50, -50, 20, 20), (1e9, 0, 5, 5), (0, 0, 1e9, 1e9), (float('nan'), 0, 5, 5),
    (10, 10, float('inf'), 5), (10, 10, -5, -5),
]  # fmt: skip


def test_boxes_outside_the_image_do_no_harm(expecting, inputs, pictures):
    expecting('detections', 'instance_mask')
    inputs.matched()
    found = detections(*(('car', *box) for box in WRONG_BOXES))
    ids = mask(np.full((HEIGHT, WIDTH), 3, np.uint16))
    stamp = inputs.publish(image=bgr_image(GREY), instance_mask=ids, detections=found)
    assert picture_of(pictures, stamp).shape == GREY.shape


def test_a_detection_without_a_hypothesis_has_a_box(inputs, pictures):
    found = detections(('car', 100, 120, 80, 60))
    found.detections[0].results = []
    stamp = inputs.publish(image=bgr_image(GREY), detections=found)
    assert (picture_of(pictures, stamp) != GREY).any()


def test_the_style_changes_while_it_runs(node, inputs, pictures):
    found = detections(('car', 100, 120, 80, 60))

    def drawn() -> np.ndarray:
        return picture_of(pictures, inputs.publish(image=bgr_image(GREY), detections=found))

    with_box = drawn()
    assert (with_box != GREY).any()
    assert node.set('boxes', False).successful
    np.testing.assert_array_equal(drawn(), GREY)
    assert node.set('labels', True).successful
    assert (drawn() != GREY).any()
    assert node.set('labels', False).successful
    assert node.set('boxes', True).successful
    assert node.set('encoding', 'rgb8').successful
    np.testing.assert_array_equal(drawn(), with_box[:, :, ::-1])
    assert node.set('encoding', 'bgr8').successful


def test_the_legend_lists_classes_that_no_object_bears():
    from trt_perception.drawing.drawn import DrawnClasses, DrawnObjects
    from trt_perception.nodes.overlay_masks import without_named

    ids = np.array([[0, 1, 2, 255]], np.uint8)
    classes = DrawnClasses(ids, ['road', 'car', 'sky'], np.zeros((3, 3), np.uint8))
    np.testing.assert_array_equal(without_named(classes, None).class_ids, ids)
    objects = DrawnObjects(np.zeros((1, 4), np.float32), ['car'], np.zeros((1, 3), np.uint8))
    left = without_named(classes, objects).class_ids
    np.testing.assert_array_equal(left, [[0, 255, 2, 255]])


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('mask_opacity', 1.5, 'Max: 1.0'),
        ('timeout', 1.0, 'cleanup'),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(node, name, value, words):
    result = node.set(name, value)
    assert not result.successful
    assert words in result.reason


def test_an_input_that_there_is_not_is_refused(node):
    for step in ('deactivate', 'cleanup'):
        assert node.change(step)
    result = node.set('inputs', ['depth'])
    for step in ('configure', 'activate'):
        assert node.change(step)
    assert not result.successful
    assert 'detections, instances, instance_mask, mask' in result.reason


def test_colours_may_come_from_a_model(graph, expecting, inputs, pictures, tmp_path):
    from nodes.colour_networks import write_detect

    model = write_detect(
        tmp_path, extra='classes: [{name: red, color: [255, 0, 0]}, {name: green}, {name: blue}]\n'
    )
    expecting('detections', models=[str(model), 'no_such_model'])
    inputs.matched()
    found = detections(('red', 100, 120, 80, 60), ('green', 250, 60, 40, 40))
    picture = picture_of(pictures, inputs.publish(image=bgr_image(GREY), detections=found))
    assert picture[120, 61].tolist() == pytest.approx([0, 0, 255], abs=60)
    assert picture[60, 231].tolist() == pytest.approx(bgr(palette_color(1)), abs=60)


def test_whoever_wants_the_picture_and_cannot_have_it_is_named(graph):
    with graph.running('overlay_node', 'unseen_painter') as node:
        node.wait_state('active')
        one = graph.node.create_subscription(Image, node.topic('overlay'), lambda _: None, LATCHED)
        words = 'Volatile publisher and transient local subscription'
        assert '/probe gets nothing on /unseen_painter/overlay' in (
            node.diagnostics(lambda s: words in s.message).message
        )
        graph.node.destroy_subscription(one)


def test_results_of_another_type_are_named(graph):
    with graph.running('overlay_node', 'fooled_painter', remaps={'mask': '/fooled'}) as node:
        node.wait_state('active')
        viewer = graph.collect(Image, node.topic('overlay')).matched()
        talker = graph.node.create_publisher(String, '/fooled', 1)
        words = '/probe publishes std_msgs/msg/String on /fooled, not sensor_msgs/msg/Image'
        assert words in node.diagnostics(lambda s: '/fooled' in s.message).message
        assert node.output().count(words) == 1
        graph.node.destroy_publisher(talker)
        hasty = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        other = graph.node.create_publisher(Image, '/fooled', hasty)
        words = 'Best effort publisher and reliable subscription'
        assert '/fooled' in node.diagnostics(lambda s: words in s.message).message
        node.diagnostics()  # of the next second: it is not said again
        assert node.output().count(words) == 1
        assert 'offering incompatible QoS' not in node.output()  # rclpy's own, without a name
        graph.node.destroy_publisher(other)
        viewer.close()
