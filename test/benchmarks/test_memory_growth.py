"""The line through a process's memory, and how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

HOURS = np.linspace(0.0, 2.0, 400)


@pytest.fixture(scope='module')
def slope_with_error(benchmark_module):
    return benchmark_module('memory_growth').slope_with_error


@pytest.mark.parametrize('count', [0, 1, 2])
def test_too_few_samples_for_a_line_have_neither(slope_with_error, count):
    assert np.isnan(slope_with_error(HOURS[:count], np.full(count, 250.0))).all()


def test_what_never_changes_has_no_slope_and_no_error(slope_with_error):
    assert slope_with_error(HOURS, np.full(400, 250.0)) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_a_leak_stands_out_of_the_noise(slope_with_error):
    noise = np.random.default_rng(1).normal(0, 3, 400)
    slope, error = slope_with_error(HOURS, 250 + 10 * HOURS + noise)
    assert abs(slope - 10) < 3 * error
    assert slope > 10 * error


@pytest.mark.parametrize('persistence', [0.0, 0.9])
def test_the_error_is_that_of_many_trials(slope_with_error, persistence):
    """Memory that wanders does not grow; taken as independent, its samples would say so."""
    random = np.random.default_rng(2)
    found = []
    for _ in range(200):
        memory = np.zeros(400)
        for index in range(1, 400):
            memory[index] = persistence * memory[index - 1] + random.normal()
        found.append(slope_with_error(HOURS, memory))
    slopes, errors = np.array(found).T
    assert np.median(errors) == pytest.approx(slopes.std(), rel=0.25)
