import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.drawing.drawn import DrawnCaption, DrawnClasses, DrawnObjects, Status
from trt_perception.drawing.overlay import draw_overlay, label
from trt_perception.drawing.style import OverlayStyle
from trt_perception.model_spec import ClassSpec
from trt_perception.results import Classification, Detections, InstanceMask, SegmentationMap

CLASSES = (ClassSpec(name='car', color=(250, 0, 0)), ClassSpec(name='dog', color=(0, 250, 0)))
BARE = OverlayStyle(labels=False, status=False)


def gray_image(width, height):
    return np.full((height, width, 3), 100, np.uint8)


def objects(boxes, **attributes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    colors = np.tile(np.array([[250, 0, 0]], np.uint8), (len(boxes), 1))
    return DrawnObjects(boxes, ['car'] * len(boxes), colors, **attributes)


def test_with_nothing_to_draw_the_image_comes_back_as_a_copy():
    image = gray_image(64, 48)
    for drawn in (None, objects([])):
        picture = draw_overlay(image, objects=drawn)
        np.testing.assert_array_equal(picture, image)
        assert picture is not image


def test_the_image_itself_is_not_changed_even_if_read_only():
    image = gray_image(640, 384)
    image.flags.writeable = False
    picture = draw_overlay(image, objects=objects([(50, 60, 300, 200)]))
    assert (picture != 100).any()
    assert (image == 100).all()


@pytest.mark.parametrize('width', [640, 1920])
def test_a_box_is_a_line_along_its_edges(width):
    image = gray_image(width, width // 2)
    box = (width // 8, width // 10, width // 2, width // 3)
    picture = draw_overlay(image, objects=objects([box]), style=BARE)
    # Smoothing spreads a faint rim around the line.
    changed = np.argwhere(picture[:, :, 2] > 175)
    line = BARE.line_px(width)
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0) + 1
    assert np.abs(np.array([left, top, right, bottom]) - box).max() <= line / 2 + 2
    # Nothing within: the outline is thin.
    inner = picture[box[1] + 2 * line : box[3] - 2 * line, box[0] + 2 * line : box[2] - 2 * line]
    assert (inner == 100).all()
    middle = picture[(box[1] + box[3]) // 2, box[0]]
    assert middle.astype(int) == pytest.approx((0, 0, 250), abs=60)


def test_a_box_over_the_whole_image_is_visible_on_all_sides():
    picture = draw_overlay(gray_image(64, 48), objects=objects([(0, 0, 64, 48)]), style=BARE)
    for edge in (picture[24, 0], picture[24, 63], picture[0, 32], picture[47, 32]):
        assert edge[2] > 200


def test_labels_name_class_score_and_track():
    drawn = objects(
        [(0, 0, 5, 5)] * 2, scores=np.array([0.934, 1.0], np.float32), track_ids=['7', '']
    )
    style = OverlayStyle()
    assert label(drawn, 0, style) == 'car 0.93 #7'
    assert label(drawn, 1, style) == 'car 1.00'
    assert label(drawn, 0, OverlayStyle(scores=False)) == 'car #7'
    assert label(drawn, 0, OverlayStyle(track_ids=False)) == 'car 0.93'
    assert label(objects([(0, 0, 5, 5)]), 0, style) == 'car'


def test_detections_become_drawn_objects():
    found = Detections(
        np.zeros((2, 4), np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([1, 0]),
        (64, 48),
        track_ids=np.array([-1, 12]),
    )
    drawn = DrawnObjects.of(found, CLASSES)
    assert drawn.names == ['dog', 'car']
    assert drawn.track_ids == ['', '12']
    np.testing.assert_array_equal(drawn.colors, [(0, 250, 0), (250, 0, 0)])
    assert len(DrawnObjects.of(Detections.empty((64, 48)), CLASSES)) == 0


def test_masks_are_shown_only_if_the_style_asks_for_them():
    mask = InstanceMask(10, 10, np.ones((20, 30), bool))
    drawn = objects([(10, 10, 40, 30)], masks=[mask])
    shown = draw_overlay(gray_image(64, 48), objects=drawn, style=BARE)
    assert shown[20, 25, 2] == pytest.approx(100 + 150 * 0.45, abs=1)
    without = OverlayStyle(masks=False, labels=False)
    assert (
        tuple(draw_overlay(gray_image(64, 48), objects=drawn, style=without)[20, 25]) == (100,) * 3
    )
    masks_only = OverlayStyle(boxes=False, labels=False, mask_opacity=1.0)
    picture = draw_overlay(gray_image(64, 48), objects=drawn, style=masks_only)
    covered = (picture != 100).any(axis=2)
    assert covered.sum() == 600


def test_semantic_classes_are_blended_and_listed():
    ids = np.full((384, 640), 1, np.uint8)
    ids[:100] = 255
    classes = DrawnClasses.of(SegmentationMap(ids), CLASSES)
    style = OverlayStyle(mask_opacity=1.0, legend=True)
    picture = draw_overlay(gray_image(640, 384), classes=classes, style=style)
    assert tuple(picture[200, 100]) == (0, 250, 0)
    assert tuple(picture[50, 100]) == (100, 100, 100)
    corner = picture[:60, 580:].reshape(-1, 3)
    assert (corner != 100).any()
    # The class that does not occur is not listed.
    assert not ((corner[:, 2] > 200) & (corner[:, 1] < 60)).any()


def test_the_status_line_says_what_is_known():
    assert Status().text == ''
    assert Status('street', 'onnxruntime cpu', 28.42, 31.0, 'x').text == (
        'street  ·  onnxruntime cpu  ·  28.4 fps  ·  31.0 ms  ·  x'
    )
    picture = draw_overlay(gray_image(640, 384), status=Status('street', rate_hz=0.0))
    assert (picture[:40, :200] != 100).any()
    assert (picture[60:] == 100).all()
    hidden = draw_overlay(
        gray_image(640, 384), status=Status('street'), style=OverlayStyle(status=False)
    )
    assert (hidden == 100).all()


def test_a_label_can_be_read_at_both_widths():
    """The plate's height, on which legibility hangs, is measured in the picture."""
    for width, least in ((640, 15), (1920, 26)):
        image = gray_image(width, width // 2)
        box = (100, 100, 400, 300)
        bare = draw_overlay(image, objects=objects([box]), style=BARE)
        picture = draw_overlay(image, objects=objects([box]))
        rows = np.flatnonzero((picture != bare).any(axis=(1, 2)))
        assert rows.max() - rows.min() + 1 >= least
        assert rows.max() <= 101


@pytest.mark.parametrize('size', [(1, 1), (1, 4000), (4000, 1), (3, 2)])
def test_absurd_sizes_are_drawn_without_an_error(size):
    everything = objects(
        [(0, 0, size[0], size[1]), (-5, -5, 9, 9)],
        scores=np.array([0.5, 0.4], np.float32),
        masks=np.ones(size[::-1], np.uint16),
    )
    picture = draw_overlay(gray_image(*size), objects=everything, status=Status('street'))
    assert picture.shape == (size[1], size[0], 3)


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(width=32, allow_nan=True, allow_infinity=True)] * 4), max_size=8)
)
def test_no_box_can_make_drawing_fail(boxes):
    picture = draw_overlay(gray_image(64, 48), objects=objects(boxes))
    assert picture.shape == (48, 64, 3)


def test_a_thousand_objects_are_drawn():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 600, (1000, 2))
    drawn = objects(np.hstack([corners, corners + 30]), scores=np.ones(1000, np.float32))
    assert (draw_overlay(gray_image(640, 640), objects=drawn) != 100).any()


def test_names_in_any_script_are_drawn():
    drawn = objects([(10, 40, 200, 90)])
    drawn = DrawnObjects(drawn.boxes, ['汽车 ü \x00'], drawn.colors)
    assert (draw_overlay(gray_image(320, 240), objects=drawn) != 100).any()


def test_an_overlay_survives_a_png_file(tmp_path):
    picture = draw_overlay(gray_image(320, 240), objects=objects([(10, 40, 200, 90)]))
    assert cv2.imwrite(str(tmp_path / 'overlay.png'), picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'overlay.png')), picture)


def test_a_caption_lists_the_classes_from_the_top_left():
    result = Classification(
        np.array([1, 0], np.int64), np.array([0.9, 0.1], np.float32), (320, 200)
    )
    caption = DrawnCaption.of(result, CLASSES)
    assert caption.names == ['dog', 'car']
    picture = draw_overlay(gray_image(320, 200), caption=caption)
    rows, columns = np.nonzero((picture != 100).any(axis=2))
    assert rows.min() < 20
    assert columns.min() < 20
    # The more likely class stands above: green, then red.
    green = np.flatnonzero((picture[:, :, 1] > 200) & (picture[:, :, 2] < 60))
    red = np.flatnonzero((picture[:, :, 2] > 200) & (picture[:, :, 1] < 60))
    assert green.max() < red.min()


def test_a_caption_of_nothing_draws_nothing():
    none = Classification(np.zeros(0, np.int64), np.zeros(0, np.float32), (64, 48))
    picture = draw_overlay(gray_image(64, 48), caption=DrawnCaption.of(none, CLASSES))
    assert (picture == 100).all()


@pytest.mark.parametrize('theta', [0.0, 0.4, -0.7, 1.5])
def test_a_rotated_box_is_drawn_where_opencv_draws_a_turned_rectangle(theta):
    """OpenCV's angle turns x towards y, in degrees, and so does ours, in radians."""
    turned = np.array([[160, 100, 120, 40, theta]], np.float32)
    drawn = objects([(60, 40, 260, 160)], rotated_boxes=turned)
    changed = (draw_overlay(gray_image(320, 200), objects=drawn, style=BARE) != 100).any(axis=2)
    wanted = np.zeros((200, 320), np.uint8)
    corners = cv2.boxPoints(((160, 100), (120, 40), float(np.degrees(theta))))
    cv2.polylines(wanted, [np.rint(corners).astype(np.int32)], True, 255, 7)
    thin = np.zeros_like(wanted)
    cv2.polylines(thin, [np.rint(corners).astype(np.int32)], True, 255, 1)
    assert not changed[wanted == 0].any()
    assert changed[cv2.dilate(thin, np.ones((3, 3))) > 0].mean() > 0.6


def test_a_rotated_box_that_is_no_number_draws_nothing_wild():
    turned = np.array([[np.nan, 0, 1, 1, 0], [1e30, 0, np.inf, 1, 0]], np.float32)
    drawn = objects([(1, 1, 5, 5), (2, 2, 6, 6)], rotated_boxes=turned)
    assert draw_overlay(gray_image(64, 48), objects=drawn).shape == (48, 64, 3)
