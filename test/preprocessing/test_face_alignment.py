import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.preprocessing.face_alignment import (
    REFERENCE,
    aligned_face,
    similarity_transform,
)


def turned(points, angle, scale, shift):
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]) + shift


@given(
    st.floats(-math.pi, math.pi),
    st.floats(0.05, 20),
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
@settings(max_examples=50)
def test_a_similarity_is_found_again(angle, scale, shift):
    source = turned(REFERENCE, angle, scale, shift)
    matrix = similarity_transform(source, REFERENCE)
    assert source @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(REFERENCE, abs=1e-6)


@given(st.integers(0, 2**32))
@settings(max_examples=50)
def test_it_is_the_least_squares_solution(seed):
    """Without mirroring, a similarity is linear in a, b, tx, ty: the normal equations solve it."""
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 200, (2, 5, 2))
    rows = [row for x, y in source for row in ((x, -y, 1, 0), (y, x, 0, 1))]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), target.reshape(-1), rcond=None)[0]
    expected = np.array([[a, -b, tx], [b, a, ty]])
    assert similarity_transform(source, target) == pytest.approx(expected, abs=1e-8)


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = REFERENCE * (-1, 1) + (112, 0)
    matrix = similarity_transform(mirrored, REFERENCE)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize(
    ('points', 'text'),
    [
        (np.zeros((5, 2)), 'one place'),
        (np.full((5, 2), np.nan), 'finite'),
        (np.zeros((4, 2)), r'two arrays'),
        (np.zeros((1, 2)), r'two arrays'),
    ],
)
def test_points_that_tell_nothing(points, text):
    with pytest.raises(ValueError, match=text):
        similarity_transform(points, REFERENCE)


def test_landmarks_come_to_the_reference_points():
    """Discs at the landmarks of a turned face are found at the reference points."""
    marks = turned(REFERENCE, 0.6, 2.5, (150, 60))
    image = np.zeros((500, 500, 3), np.uint8)
    for i, (x, y) in enumerate(marks):
        place = (round(x * 16), round(y * 16))
        cv2.circle(image, place, 5 * 16, (50 * (i + 1),) * 3, cv2.FILLED, cv2.LINE_AA, shift=4)
    confidences = np.full((5, 1), 0.9)
    # Pixel i covers [i, i + 1), OpenCV draws with its centre at i.
    face = aligned_face(image, np.concatenate([marks + 0.5, confidences], axis=1))
    assert face.shape == (112, 112, 3)
    for i, (x, y) in enumerate(REFERENCE):
        left, top = round(x) - 6, round(y) - 6
        cut = face[top : top + 13, left : left + 13, 0].astype(float)
        rows, columns = np.mgrid[top : top + 13, left : left + 13]
        assert (columns * cut).sum() / cut.sum() == pytest.approx(x, abs=0.25)
        assert (rows * cut).sum() / cut.sum() == pytest.approx(y, abs=0.25)
        assert cut.max() == 50 * (i + 1)


def test_another_size_keeps_the_proportions():
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    same = aligned_face(image, REFERENCE + 0.5)
    assert np.abs(same.astype(int) - image).max() <= 1
    assert aligned_face(image, REFERENCE + 0.5, 224).shape == (224, 224, 3)


def test_three_landmarks_are_refused():
    with pytest.raises(ValueError, match='five landmarks'):
        aligned_face(np.zeros((9, 9, 3), np.uint8), np.zeros((3, 2)))
