from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trt_perception.errors import MissingDependencyError
from trt_perception.tracking import assignment
from trt_perception.tracking.assignment import assign, overlaps, require_solver

LIKENESS = st.tuples(st.integers(0, 5), st.integers(0, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1).map(lambda x: round(x, 3)))
)
BOXES = arrays(np.float64, (3, 4), elements=st.integers(0, 30).map(float))


def best_by_trying(likeness, least):
    """The greatest sum of what pairs have above `least`, over every way to pair."""
    rows, columns = likeness.shape
    if rows > columns:
        return best_by_trying(likeness.T, least)
    gain = np.maximum(likeness - least, 0)
    return max(
        sum(gain[row, column] for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(columns), rows)
    )


@pytest.mark.parametrize('shape', [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_pair(shape):
    rows, columns = assign(np.zeros(shape), 0.0)
    assert (len(rows), len(columns)) == (0, 0)


@settings(max_examples=50)
@given(LIKENESS, st.sampled_from([0.0, 0.1, 0.5]))
def test_no_other_pairs_are_better(likeness, least):
    rows, columns = assign(likeness, least)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert (likeness[rows, columns] > least).all()
    total = float((likeness[rows, columns] - least).sum())
    assert total == pytest.approx(best_by_trying(likeness, least))


def test_a_bad_pair_takes_no_good_partner_away():
    """Two pairs just above the least are worth less than one good pair."""
    rows, columns = assign(np.array([[0.9, 0.15], [0.14, 0.0]]), 0.1)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


@settings(max_examples=50)
@given(BOXES, BOXES)
def test_overlaps_are_counted_pixels(first, second):
    first[:, 2:] += first[:, :2]
    second[:, 2:] += second[:, :2]
    found = overlaps(first[:, None], second)
    for row, column in itertools.product(range(3), range(3)):
        masks = []
        for x1, y1, x2, y2 in (first[row].astype(int), second[column].astype(int)):
            mask = np.zeros((64, 64), bool)
            mask[y1:y2, x1:x2] = True
            masks.append(mask)
        union = np.count_nonzero(masks[0] | masks[1])
        expected = np.count_nonzero(masks[0] & masks[1]) / union if union else 0.0
        assert found[row, column] == pytest.approx(expected)


def test_without_scipy_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy.optimize', None)
    assignment._linear_sum_assignment.cache_clear()
    with pytest.raises(MissingDependencyError, match=r'trt_perception\[tracking\]'):
        require_solver()
    monkeypatch.undo()
    require_solver()
