"""How the camera moved, for pictures of the street that were moved by a known amount."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trt_perception.errors import ParameterError
from trt_perception.scenes import Split, StreetScene, scene_seed
from trt_perception.tracking.camera_motion import CameraMotion

METHODS = ('flow', 'orb')
NO_BOXES = np.zeros((0, 4), np.float32)
POINTS = np.array([[100.0, 100.0], [500.0, 100.0], [320.0, 300.0]])


@pytest.fixture(scope='module')
def street():
    return StreetScene(scene_seed(Split.VALIDATION, 1), light='day', weather='clear').render(0.0)


def moved_by(degrees=0.0, zoom=1.0, shift=(0.0, 0.0)):
    moved = cv2.getRotationMatrix2D((320, 192), degrees, zoom)
    moved[:, 2] += shift
    return moved


def at(moved, points):
    return points @ moved[:, :2].T + moved[:, 2]


@pytest.mark.parametrize('method', METHODS)
def test_the_first_image_says_nothing(method, street):
    assert CameraMotion(method).estimate(street.image, NO_BOXES) is None


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(
    'moved',
    [
        moved_by(),
        moved_by(shift=(12.0, -5.0)),
        moved_by(degrees=2.0, shift=(4.0, 3.0)),
        moved_by(zoom=1.03),
    ],
    ids=['still', 'shifted', 'turned', 'zoomed'],
)
def test_a_known_motion_is_found(method, street, moved):
    after = cv2.warpAffine(street.image, moved, (640, 384), borderMode=cv2.BORDER_REPLICATE)
    motion = CameraMotion(method)
    motion.estimate(street.image, street.boxes)
    found = motion.estimate(after, NO_BOXES)
    assert found is not None
    assert np.abs(at(found, POINTS) - at(moved, POINTS)).max() < 1.5


def test_objects_that_move_are_no_camera_that_moves(street):
    """The picture stands still but for a large thing, whose box is known."""
    random = np.random.default_rng(3)
    thing = cv2.resize(random.integers(0, 255, (40, 50, 3), np.uint8), (350, 300))
    before, after = street.image.copy(), street.image.copy()
    before[60:360, 100:450] = thing
    after[60:360, 112:462] = thing
    box = np.array([[100, 60, 450, 360]], np.float32)
    motion = CameraMotion('flow')
    motion.estimate(before, box)
    found = motion.estimate(after, box)
    assert found is not None
    assert np.abs(at(found, POINTS) - POINTS).max() < 1.0


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(
    'images',
    [
        [np.zeros((384, 640, 3), np.uint8)] * 2,
        [np.full((1, 1, 3), 9, np.uint8)] * 2,
        [np.full((2, 3000, 3), 9, np.uint8)] * 2,
    ],
    ids=['black', 'one pixel', 'flat'],
)
def test_where_nothing_can_be_seen_nothing_is_said(method, images):
    motion = CameraMotion(method)
    assert [motion.estimate(image, NO_BOXES) for image in images] == [None, None]


@pytest.mark.parametrize('method', METHODS)
def test_another_size_begins_anew(method, street):
    motion = CameraMotion(method)
    motion.estimate(street.image, NO_BOXES)
    assert motion.estimate(street.image[:200], NO_BOXES) is None
    assert motion.estimate(street.image[:200], NO_BOXES) is not None


def test_boxes_that_are_no_numbers_or_cover_all_do_no_harm(street):
    boxes = np.array([[np.nan, 0, 1, 1], [-1e9, -1e9, 1e9, 1e9]], np.float32)
    motion = CameraMotion('flow')
    motion.estimate(street.image, boxes)
    found = motion.estimate(street.image, boxes)
    assert found is not None
    assert np.abs(at(found, POINTS) - POINTS).max() < 0.5


def test_an_unknown_method_is_refused():
    with pytest.raises(ParameterError, match='flow, orb'):
        CameraMotion('sift')
