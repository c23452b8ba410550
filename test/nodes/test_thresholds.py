"""From which figures on a node is not well."""

from __future__ import annotations

import math

import pytest

from trt_perception.monitoring.gpu_state import GpuState
from trt_perception.nodes.health import ERROR, OK, STALE, WARN, Condition
from trt_perception.nodes.thresholds import Drops, RecentDrops, Thresholds, worst
from trt_perception.pipeline.statistics import PAUSED, PipelineStatistics

NONE = Drops()
LIMITS = Thresholds(latency_s=0.1, drop_share=0.5, stale_after_s=5.0, temperature_c=85.0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def figures(stages_ms: dict[str, float], frames: int = 1):
    statistics = PipelineStatistics()
    for _ in range(frames):
        statistics.frame_out(stages_ms, 1)
    return statistics.snapshot()


def texts(limits: Thresholds, snapshot, drops: Drops = NONE) -> list[str]:
    found = limits.of_figures(snapshot, drops)
    assert all(condition.level == WARN for condition in found)
    return [condition.text for condition in found]


def test_nothing_has_happened():
    assert texts(LIMITS, figures({}, 0)) == []
    assert LIMITS.of_gpu(None) == []
    assert worst([]) is None


def test_a_late_result_is_a_warning():
    assert texts(LIMITS, figures({'since_stamp': 99.0})) == []
    [text] = texts(LIMITS, figures({'since_stamp': 101.0, 'total': 1.0}))
    assert text.startswith('results come 101 ms after the stamp')
    assert 'warn_latency is 100 ms' in text


def test_without_stamps_the_time_since_the_arrival_counts():
    assert texts(LIMITS, figures({'total': 99.0})) == []
    assert len(texts(LIMITS, figures({'total': 101.0}))) == 1


def test_a_stamp_of_another_clock_is_no_latency():
    assert texts(LIMITS, figures({'since_stamp': 1.7e12})) == []
    assert texts(LIMITS, figures({'since_stamp': -1.7e12})) == []


@pytest.mark.parametrize(
    ('cause', 'remedy'),
    [('replaced', 'slower than the camera'), ('lost', 'doctor'), ('empty', 'latest error')],
)
def test_dropped_images_are_a_warning_with_a_remedy(cause, remedy):
    assert texts(LIMITS, figures({}), Drops(0.5, {cause: 0.5})) == []
    [text] = texts(LIMITS, figures({}), Drops(0.62, {cause: 0.62}))
    assert text.startswith('62% of the images of the last 10 s gave no result (warn_drop_share is')
    assert f', 62% {cause}: ' in text
    assert remedy in text


def test_the_cause_that_comes_second_is_told_with_its_figure_and_remedy():
    # What is left of a camera whose images mostly get lost may all be too old.
    limits = Thresholds(drop_share=0.5, max_age_s=0.2)
    drops = Drops(1.0, {'lost': 0.9, 'stale': 0.1})
    [condition] = limits.of_figures(figures({}), drops, 5.0)
    first, second = condition.text.split('; 10% stale: ')
    assert '90% lost: `trt_perception doctor' in first
    assert second.startswith('the newest one was 5 s old')


def test_what_hardly_matters_beside_the_first_cause_is_not_told():
    [text] = texts(LIMITS, figures({}), Drops(0.62, {'lost': 0.6, 'empty': 0.02}))
    assert ', 60% lost: ' in text
    assert 'empty' not in text


def test_two_causes_of_one_kind_are_told_with_one_remedy():
    snapshot = figures({'wait': 1.0, 'total': 27.0})
    drops = Drops(0.86, {'lost': 0.6, 'replaced': 0.26}, rate_hz=240.0)
    [text] = texts(LIMITS, snapshot, drops)
    assert '60% lost and 26% replaced: the camera sends 240 images a second' in text
    assert text.count('the camera sends') == 1


def test_a_camera_that_is_faster_than_the_network_is_told_with_both_rates():
    snapshot = figures({'wait': 1.0, 'total': 27.0})
    [text] = texts(LIMITS, snapshot, Drops(0.9, {'replaced': 0.9}, rate_hz=240.0))
    assert 'the camera sends 240 images a second, and one takes 26 ms' in text
    # Slow enough by itself: others take the network's time.
    [text] = texts(LIMITS, snapshot, Drops(0.9, {'replaced': 0.9}, rate_hz=15.0))
    assert 'or than all that share it' in text
    # Several images before the thread is woken read as lost on the way.
    [text] = texts(LIMITS, snapshot, Drops(0.86, {'lost': 0.86}, rate_hz=240.0))
    assert 'one takes 26 ms' in text
    assert 'doctor' not in text
    # Of a network that waits two thirds of the time they were lost indeed.
    [text] = texts(LIMITS, snapshot, Drops(0.95, {'lost': 0.95}, rate_hz=240.0))
    assert 'doctor' in text


def test_images_that_are_too_old_are_told_with_their_age():
    limits = Thresholds(drop_share=0.5, max_age_s=0.2)
    [condition] = limits.of_figures(figures({}), Drops(1.0, {'stale': 1.0}), 4.987)
    assert 'the newest one was 4.99 s old when it was taken, max_age is 0.2 s' in condition.text
    [condition] = limits.of_figures(figures({}), Drops(1.0, {'stale': 1.0}))
    assert 'late' in condition.text


def test_latencies_of_results_of_long_ago_are_not_spoken_of():
    snapshot = figures({'since_stamp': 3000.0})
    assert texts(LIMITS, snapshot, Drops(1.0, {'stale': 1.0}, results=0))[0].startswith(
        '100% of the'
    )
    assert texts(LIMITS, snapshot, Drops(0.0, results=0)) == []
    assert len(texts(LIMITS, snapshot, Drops(0.0, results=7))) == 1


def test_zero_turns_a_threshold_off():
    off = Thresholds()
    assert texts(off, figures({'since_stamp': 9e5}), Drops(1.0, {'empty': 1.0})) == []
    assert off.of_gpu(GpuState('a GPU', temperature_c=200.0)) == []


def test_a_hot_gpu_is_a_warning_and_one_that_says_nothing_is_not():
    assert LIMITS.of_gpu(GpuState('a GPU')) == []
    assert LIMITS.of_gpu(GpuState('a GPU', temperature_c=84.9)) == []
    [condition] = LIMITS.of_gpu(GpuState('a GPU', temperature_c=85.0))
    assert condition.level == WARN
    assert '85 °C' in condition.text


def test_only_drops_of_the_last_seconds_count():
    clock, statistics = Clock(), PipelineStatistics()
    recent = RecentDrops(clock)
    assert math.isnan(recent.note(statistics.snapshot()).share)
    statistics.frame_dropped('replaced', 60)
    statistics.frame_dropped('lost', 20)
    for _ in range(20):
        statistics.frame_out({}, 1)
    clock.now += 1.0
    drops = recent.note(statistics.snapshot())
    assert drops == Drops(0.8, {'replaced': 0.6, 'lost': 0.2})
    assert list(drops.causes) == ['replaced', 'lost'], 'the most frequent first'
    assert (drops.rate_hz, drops.results) == (100.0, 20)
    for _ in range(12):
        clock.now += 1.0
        statistics.frame_out({}, 1)
        latest = recent.note(statistics.snapshot())
    assert latest == Drops(0.0)


def test_few_images_and_paused_ones_say_nothing():
    clock, statistics = Clock(), PipelineStatistics()
    recent = RecentDrops(clock)
    recent.note(statistics.snapshot())
    statistics.frame_dropped(PAUSED, 100)
    statistics.frame_dropped('empty', 4)
    clock.now += 1.0
    assert math.isnan(recent.note(statistics.snapshot()).share)
    statistics.frame_dropped('empty')
    assert recent.note(statistics.snapshot()) == Drops(1.0, {'empty': 1.0})


def test_an_error_outdoes_silence_and_silence_a_warning():
    said = {level: Condition(level, '') for level in (OK, WARN, STALE, ERROR)}
    assert worst([said[STALE], said[ERROR], said[WARN]]) is said[ERROR]
    assert worst([said[WARN], said[STALE], said[OK]]) is said[STALE]
