"""The standard error of figures."""

from __future__ import annotations

import numpy as np
import pytest

from trt_perception.evaluation.jackknife import group_jackknife


@pytest.mark.parametrize(('images', 'groups'), [(0, 2), (5, 1), (5, 6)])
def test_groups_that_cannot_be(images: int, groups: int):
    with pytest.raises(ValueError, match='groups of'):
        group_jackknife(lambda numbers: [1.0], images, groups)


def test_what_never_changes_is_sure():
    assert group_jackknife(lambda numbers: [3.0, -1.0], 10, 5).tolist() == [0.0, 0.0]


def test_the_error_of_a_mean_is_the_known_one():
    values = np.random.default_rng(1).normal(size=40)
    found = group_jackknife(lambda numbers: [values[numbers].mean()], 40, 40)
    assert found == pytest.approx([values.std(ddof=1) / np.sqrt(40)])


def test_a_paired_difference_is_surer_than_its_parts():
    one = np.random.default_rng(1).normal(size=60)
    other = one + np.random.default_rng(2).normal(scale=0.01, size=60)
    parts = group_jackknife(lambda n: [one[n].mean(), (one - other)[n].mean()], 60)
    assert parts[1] < parts[0] / 20


def test_groups_need_not_be_of_one_size():
    values = np.random.default_rng(3).normal(size=43)
    found = group_jackknife(lambda n: [values[n].mean()], 43, 20)
    assert found[0] == pytest.approx(values.std(ddof=1) / np.sqrt(43), rel=0.4)
