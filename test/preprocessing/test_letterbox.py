import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.model_input import InputSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor

NETWORK = (640, 384)
ASPECTS = [(1920, 1080), (640, 480), (1080, 1920), (500, 500), (2560, 720)]
EXTREMES = [(1, 1), (1, 4000), (4000, 1), (8000, 6000), (3, 2), (640, 384)]

extents = st.integers(1, 9000)
network_extents = st.integers(1, 1300)


def test_no_boxes_map_to_no_boxes():
    letterbox = Letterbox.fit((1920, 1080), NETWORK)
    assert letterbox.to_source(np.zeros((0, 4))).shape == (0, 4)
    assert letterbox.to_network(np.zeros((0, 2))).shape == (0, 2)


def test_full_hd_in_640x384():
    letterbox = Letterbox.fit((1920, 1080), NETWORK)
    assert letterbox == Letterbox((1920, 1080), NETWORK, (640, 360), (0, 12))
    assert letterbox.scale == (1 / 3, 1 / 3)
    assert letterbox.to_source(np.array([[0, 12, 640, 372]])).tolist() == [[0, 0, 1920, 1080]]
    assert letterbox.to_network(np.array([960, 540])).tolist() == [320, 192]


def test_stretch_fills_the_input():
    letterbox = Letterbox.fit((1920, 1080), NETWORK, 'stretch')
    assert letterbox.resized == NETWORK
    assert letterbox.offset == (0, 0)
    assert letterbox.to_source(np.array([[0, 0, 320, 192]])).tolist() == [[0, 0, 960, 540]]


@pytest.mark.parametrize(('source', 'resized'), [((1920, 1080), (640, 360)), ((10, 40), (96, 384))])
def test_padding_may_lie_right_and_below(source, resized):
    letterbox = Letterbox.fit(source, NETWORK, pad='bottom_right')
    assert letterbox == Letterbox(source, NETWORK, resized, (0, 0))
    image = np.full((source[1], source[0], 3), 7, np.uint8)
    out = np.empty((3, 384, 640), np.float32)
    spec = InputSpec(size=NETWORK, pad='bottom_right', pad_value=99, scale=(1.0, 1.0, 1.0))
    assert Preprocessor(spec)(image, out) == letterbox
    expected = np.full((384, 640), 99)
    expected[: resized[1], : resized[0]] = 7
    assert np.array_equal(out, np.broadcast_to(expected, out.shape))


def test_points_outside_the_image_stay_outside():
    letterbox = Letterbox.fit((1920, 1080), NETWORK)
    points = np.array([[[0, 0, 320, 192]], [[-20, 400, 640, 372]]])
    mapped = letterbox.points_to_source(points)
    assert mapped.tolist() == [[[0, -36, 960, 540]], [[-60, 1164, 1920, 1080]]]
    assert np.allclose(letterbox.to_network(mapped), points)
    assert letterbox.points_to_source(np.zeros((0, 17, 2))).shape == (0, 17, 2)


@pytest.mark.parametrize('source', [(0, 10), (10, 0)])
def test_an_image_without_pixels_is_refused(source):
    with pytest.raises(ValueError, match='at least 1x1'):
        Letterbox.fit(source, NETWORK)


@given(
    extents, extents, network_extents, network_extents, st.sampled_from(['letterbox', 'stretch'])
)
def test_the_image_lies_within_the_input_and_in_its_middle(w, h, nw, nh, resize):
    letterbox = Letterbox.fit((w, h), (nw, nh), resize)
    for resized, offset, network in zip(letterbox.resized, letterbox.offset, (nw, nh), strict=True):
        assert resized >= 1
        after = network - resized - offset
        assert after >= 0
        assert after - offset in (0, 1)
    assert any(r == n for r, n in zip(letterbox.resized, (nw, nh), strict=True))


@given(extents, extents, st.data())
def test_any_box_comes_back_within_half_a_pixel(w, h, data):
    check_round_trip((w, h), data)


@pytest.mark.parametrize('source', ASPECTS + EXTREMES)
@given(data=st.data())
@settings(max_examples=20)
def test_boxes_come_back_at_known_sizes(source, data):
    check_round_trip(source, data)


def check_round_trip(source, data):
    letterbox = Letterbox.fit(source, NETWORK)
    fractions = st.floats(0, 1, width=32)
    corners = np.array([data.draw(st.tuples(*[fractions] * 4)) for _ in range(3)])
    boxes = corners * (source * 2)
    there = letterbox.to_network(boxes)
    left, top = letterbox.offset
    assert np.all(there >= np.array([left, top] * 2) - 1e-3)
    limit = np.add(letterbox.offset, letterbox.resized)
    assert np.all(there <= np.tile(limit, 2) + 1e-3)
    # A network pixel may cover thousands of source pixels, so rounding counts in those.
    tolerance = 0.5 * np.maximum(1.0, 1e-3 / np.tile(letterbox.scale, 2))
    assert np.all(np.abs(letterbox.to_source(there) - boxes) <= tolerance)


@given(extents, extents, st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4))
def test_boxes_are_clipped_into_the_image(w, h, box):
    clipped = Letterbox.fit((w, h), NETWORK).to_source(np.array([box]))[0]
    assert np.all(clipped >= 0)
    assert np.all(clipped <= [w, h, w, h])


@pytest.mark.parametrize(
    ('source', 'network', 'shorter_side', 'resized', 'offset'),
    [
        ((500, 375), (224, 224), 256, (341, 256), (-58, -16)),
        ((375, 500), (224, 224), 256, (256, 341), (-16, -58)),
        ((640, 480), (224, 224), None, (341, 256), (-58, -16)),
        ((224, 224), (224, 224), 232, (232, 232), (-4, -4)),
        ((100, 80), (64, 48), None, (91, 73), (-14, -12)),
        # torchvision's CenterCrop rounds half an extent to the even one.
        ((227, 225), (224, 224), 225, (227, 225), (-2, 0)),
    ],
)
def test_a_centre_crop_is_cut_as_torchvision_does(source, network, shorter_side, resized, offset):
    letterbox = Letterbox.fit(source, network, 'centre_crop', shorter_side=shorter_side)
    assert letterbox == Letterbox(source, network, resized, offset)


@given(extents, extents, st.integers(1, 300), st.integers(1, 300), st.integers(0, 99))
def test_a_centre_crop_holds_image_only(w, h, nw, nh, more):
    letterbox = Letterbox.fit((w, h), (nw, nh), 'centre_crop', shorter_side=max(nw, nh) + more)
    corners = letterbox.points_to_source(np.array([[0, 0, nw, nh]]))[0]
    assert np.all(corners >= -1e-3 * max(w, h))
    assert np.all(corners <= np.array([w, h, w, h]) * (1 + 1e-3))
    there = letterbox.to_network(corners)
    scale = max(1, *letterbox.scale)
    assert np.abs(there - [0, 0, nw, nh]).max() <= 1e-3 * scale * max(w, h)


def test_a_crop_larger_than_the_resized_image_is_refused():
    with pytest.raises(ValueError, match='does not cover'):
        Letterbox.fit((100, 80), (224, 224), 'centre_crop', shorter_side=200)
