"""Intersection over union, on matrices small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trt_perception.evaluation.overlap import confusion_of, overlap_figures
from trt_perception.results import UNLABELLED

NAMES = ('road', 'pavement', 'sky')
CATEGORIES = {'road': 'flat', 'pavement': 'flat', 'sky': 'sky'}


def test_nothing_seen():
    figures = overlap_figures(np.zeros((3, 4), np.int64), NAMES, CATEGORIES)
    assert figures == {
        'miou': None,
        'category_miou': None,
        'pixel_accuracy': None,
        'by_class': dict.fromkeys(NAMES),
        'by_category': {'flat': None, 'sky': None},
    }


def test_perfect_answers():
    figures = overlap_figures(np.diag([5, 3, 2, 0])[:3], NAMES, CATEGORIES)
    assert figures['miou'] == figures['category_miou'] == figures['pixel_accuracy'] == 1


def test_worked_by_hand():
    # road: 6 right, 2 called pavement, 1 called sky; pavement: 3 right, 1 called road;
    # sky: 4 right, 2 without a class.
    confusion = np.array([[6, 2, 1, 0], [1, 3, 0, 0], [0, 0, 4, 2]])
    figures = overlap_figures(confusion, NAMES, CATEGORIES)
    assert figures['by_class'] == {
        'road': pytest.approx(6 / (6 + 1 + 3)),
        'pavement': pytest.approx(3 / (3 + 2 + 1)),
        'sky': pytest.approx(4 / (4 + 1 + 2)),
    }
    assert figures['miou'] == pytest.approx((6 / 10 + 3 / 6 + 4 / 7) / 3)
    # Roads taken for pavements are right within their category.
    assert figures['by_category'] == {
        'flat': pytest.approx(12 / (12 + 0 + 1)),
        'sky': pytest.approx(4 / 7),
    }
    assert figures['category_miou'] == pytest.approx((12 / 13 + 4 / 7) / 2)
    assert figures['pixel_accuracy'] == pytest.approx(13 / 19)


def test_a_class_said_to_be_there_counts_and_one_that_is_nowhere_does_not():
    figures = overlap_figures(np.array([[3, 1, 0, 0], [0] * 4, [0] * 4]), NAMES)
    assert figures['by_class'] == {'road': pytest.approx(3 / 4), 'pavement': 0, 'sky': None}
    assert figures['miou'] == pytest.approx(3 / 8)
    assert figures['category_miou'] is None


def test_what_is_not_judged_counts_nowhere():
    truth = np.array([[0, 0, 1, 255, 255]], np.uint8)
    found = np.array([[0, UNLABELLED, 1, 0, 1]], np.uint8)
    confusion = confusion_of(truth, found, 3)
    np.testing.assert_array_equal(confusion, [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert overlap_figures(confusion, NAMES)['by_class']['pavement'] == 1


@given(
    arrays.arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255])),
    arrays.arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255])),
)
def test_it_is_the_overlap_of_sets(truth, found):
    by_class = overlap_figures(confusion_of(truth, found, 3), NAMES)['by_class']
    for index, name in enumerate(NAMES):
        there, said = truth == index, (found == index) & (truth != 255)
        union = (there | said).sum()
        expected = (there & said).sum() / union if union else None
        assert by_class[name] == (expected if expected is None else pytest.approx(expected))
