import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trt_perception.drawing.masks import blend_masks, blend_semantic
from trt_perception.palette import color_mask
from trt_perception.results import Detections, InstanceMask

COLORS = np.array([(250, 10, 20), (30, 240, 50), (60, 70, 230)], np.uint8)
GRAY = 100


def gray_image(height=20, width=30):
    return np.full((height, width, 3), GRAY, np.uint8)


@given(ids=hnp.arrays(np.uint8, (6, 7)), opacity=st.floats(0, 1))
def test_semantic_blending_is_the_weighted_mean_where_labelled(ids, opacity):
    image = gray_image(6, 7)
    blend_semantic(image, ids, COLORS, opacity)
    tint = color_mask(ids, COLORS)[:, :, ::-1].astype(float)
    wanted = np.where((ids < 3)[:, :, None], GRAY + (tint - GRAY) * opacity, GRAY)
    np.testing.assert_allclose(image, wanted, atol=1)


def test_colours_that_are_there_are_blended_as_those_that_are_made():
    ids = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)
    made, taken = gray_image(2, 3), gray_image(2, 3)
    blend_semantic(made, ids, COLORS, 0.6)
    blend_semantic(taken, ids, COLORS, 0.6, color_mask(ids, COLORS))
    np.testing.assert_array_equal(taken, made)


def test_a_map_of_another_size_is_stretched_without_mixing_classes():
    image = gray_image(8, 12)
    blend_semantic(image, np.array([[0, 255], [255, 2]], np.uint8), COLORS, 1.0)
    np.testing.assert_array_equal(image[:4, :6], np.broadcast_to(COLORS[0, ::-1], (4, 6, 3)))
    np.testing.assert_array_equal(image[4:, 6:], np.broadcast_to(COLORS[2, ::-1], (4, 6, 3)))
    assert (image[:4, 6:] == GRAY).all()


def cut(x, y, width, height):
    return InstanceMask(x, y, np.ones((height, width), bool))


def boxes_of(masks):
    rows = [(m.x, m.y, m.x + m.bits.shape[1], m.y + m.bits.shape[0]) for m in masks]
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize('masks', [[], np.zeros((20, 30), np.uint16)])
def test_no_objects_change_nothing(masks):
    image = gray_image()
    blend_masks(image, masks, np.zeros((0, 4), np.float32), COLORS[:0], 0.5)
    assert (image == GRAY).all()


def test_the_first_object_lies_on_top():
    image = gray_image()
    masks = [cut(5, 5, 10, 10), cut(10, 5, 10, 10)]
    blend_masks(image, masks, boxes_of(masks), COLORS, 1.0)
    assert tuple(image[7, 12]) == tuple(COLORS[0, ::-1])
    assert tuple(image[7, 17]) == tuple(COLORS[1, ::-1])
    assert (image[:5] == GRAY).all()


def test_cuts_and_id_image_give_the_same_picture():
    rng = np.random.default_rng(1)
    masks = [
        InstanceMask(2, 3, rng.random((9, 8)) > 0.4),
        InstanceMask(12, 4, rng.random((12, 14)) > 0.4),
        InstanceMask(4, 12, rng.random((6, 5)) > 0.4),
    ]
    boxes = boxes_of(masks)
    found = Detections(boxes, np.ones(3, np.float32), np.zeros(3, np.int64), (30, 20), masks)
    by_cuts, by_ids = gray_image(), gray_image()
    blend_masks(by_cuts, masks, boxes, COLORS, 0.5)
    blend_masks(by_ids, found.id_image(), boxes, COLORS, 0.5)
    np.testing.assert_array_equal(by_cuts, by_ids)
    assert (by_cuts != GRAY).any()


@pytest.mark.parametrize(
    'mask', [cut(-5, -5, 10, 10), cut(25, 15, 10, 10), cut(200, 200, 3, 3), cut(3, 3, 0, 0)]
)
def test_masks_that_stick_out_are_cropped(mask):
    image = gray_image()
    blend_masks(image, [mask], boxes_of([mask]), COLORS, 1.0, outline_px=1)
    covered = (image != GRAY).any(axis=2)
    ys, xs = np.mgrid[:20, :30]
    rows, columns = mask.bits.shape
    inside = (xs >= mask.x) & (xs < mask.x + columns) & (ys >= mask.y) & (ys < mask.y + rows)
    np.testing.assert_array_equal(covered, inside)
