"""What is read from the ages of several cameras' results."""

from __future__ import annotations

import numpy as np
import pytest

RATE_HZ = 15


@pytest.fixture(scope='module')
def figures(benchmark_module):
    return benchmark_module('multi_camera_figures')


def run_of(figures, stretches, factor):
    """One camera at 15 Hz; ages of 5 ms and more, `factor` times that in what is no calm."""
    draws = np.random.default_rng(3)
    stamps, arrivals, begin_s = [], {}, 1000.0
    for number, stretch in enumerate(stretches):
        disturbed = stretch.name not in (figures.ALL_WELL, figures.CALM)
        for image in range(int(stretch.seconds * RATE_HZ)):
            stamp = int((begin_s + image / RATE_HZ) * 1e9)
            age_ms = (5 + draws.gamma(2.0, 0.5)) * (factor if disturbed else 1)
            stamps.append((number, stamp))
            arrivals[stamp] = stamp + int(age_ms * 1e6)
        begin_s += stretch.seconds
    return figures.seen_in(stretches, 1000.0, stamps, arrivals)


def stretches_of(figures, rounds=3, minutes=10):
    stretches = [figures.Stretch(figures.ALL_WELL, 60.0 * minutes)]
    for number in range(1, rounds + 1):
        calm = figures.Stretch(figures.CALM, 16.0, round=number)
        stalls = figures.Stretch('stalls', 16.0, factor=0.0, round=number)
        doubles = figures.Stretch('doubles', 16.0, factor=2.0, round=number)
        stretches += [calm, stalls, doubles, calm, doubles, calm]
    return stretches


def test_a_camera_that_sent_nothing(figures):
    stretches = stretches_of(figures, rounds=1)
    seen = figures.seen_in(stretches, 1000.0, [], {})
    found = figures.row('doubles', 'front', stretches, seen)
    assert (found['sent'], found['results']) == (0, 0)
    assert np.isnan(found['p99_ms'])


def test_all_stretches_of_a_name_count_without_their_first_second(figures):
    stretches = stretches_of(figures)
    found = figures.row('doubles', 'left', stretches, run_of(figures, stretches, 1.0))
    assert found['sent'] == found['results'] == 6 * 15 * RATE_HZ
    assert found['results_hz'] == pytest.approx(RATE_HZ)


def test_an_image_without_a_result_is_sent_only(figures):
    stretches = [figures.Stretch(figures.ALL_WELL, 10.0)]
    stamps = [(0, int(1005e9)), (0, int(1006e9)), (0, int(1000.5e9))]
    (seen,) = figures.seen_in(stretches, 1000.0, stamps, {int(1005e9): int(1005.002e9)})
    assert seen.sent == 2
    assert seen.ages == pytest.approx([2.0])


def test_a_disturbance_that_nobody_notices_is_no_move(figures):
    stretches = stretches_of(figures)
    found = figures.move('doubles', stretches, run_of(figures, stretches, 1.0))
    assert found.verdict == 'met'
    assert abs(found.share) < 0.1


def test_a_disturbance_is_noticed(figures):
    stretches = stretches_of(figures)
    found = figures.move('doubles', stretches, run_of(figures, stretches, 1.3))
    assert found.verdict == 'MISSED'
    assert found.share == pytest.approx(0.3, abs=0.1)
    assert found.noise < 0.15


def test_what_may_be_noise_is_not_called_met(figures):
    assert figures.Move(during=12.0, before=10.0, after=10.0, noise=0.3).verdict == 'UNSURE'


def test_calm_is_looked_for_over_other_disturbances(figures):
    stretches = stretches_of(figures, rounds=1)
    ages = [1.0, 10.0, 99.0, 30.0, 20.0, 50.0, 40.0]
    seen = [figures.Seen(1, np.array([age])) for age in ages]
    found = figures.move('doubles', stretches, seen)
    assert found.before == pytest.approx(np.percentile([10.0, 20.0], 99))
    assert found.after == pytest.approx(np.percentile([20.0, 40.0], 99))
    assert found.during == pytest.approx(np.percentile([30.0, 50.0], 99))


def test_noise_is_what_calm_stretches_of_one_round_differ_by(figures):
    stretches = stretches_of(figures, rounds=2)
    uneven = {figures.ALL_WELL: 500.0, 'stalls': 90.0, 'doubles': 70.0}
    seen = [
        figures.Seen(9, np.full(9, uneven.get(one.name, 10.0 * one.round))) for one in stretches
    ]
    assert figures.move('doubles', stretches, seen).noise == pytest.approx(0.0)
    seen[1] = figures.Seen(9, np.full(9, 13.0))  # a calm stretch of the first round
    seen[7] = figures.Seen(9, np.full(9, 26.0))  # and of the second one
    assert figures.move('doubles', stretches, seen).noise == pytest.approx(0.3, abs=0.05)


def test_too_few_calm_stretches_excuse_nothing(figures):
    stretches = stretches_of(figures, rounds=1)
    found = figures.move('doubles', stretches, run_of(figures, stretches, 1.3))
    assert np.isnan(found.noise)
    assert found.verdict == 'MISSED'
