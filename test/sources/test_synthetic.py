import numpy as np
import pytest

from trt_perception.errors import SourceError
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.scenes import Split, StreetScene, scene_seed
from trt_perception.sources.synthetic import SyntheticSource

SMALL = (96, 64)


def take(source, count):
    frames = iter(source)
    return [next(frames) for _ in range(count)]


def test_a_moving_street_has_the_time_of_the_scene():
    source = SyntheticSource('7', size=SMALL, rate=20.0, frame_id='front')
    frames = take(source, 3)
    assert [f.stamp_ns for f in frames] == [0, 50_000_000, 100_000_000]
    assert (source.stamps, source.continuous, source.count) == ('since_start', True, None)
    assert {f.frame_id for f in frames} == {'front'}
    for index, frame in enumerate(frames):
        wanted = StreetScene(7, size=SMALL).render(index / 20).image
        np.testing.assert_array_equal(to_bgr(frame), wanted)


def test_passes_repeat_and_seeds_differ():
    first, other = (SyntheticSource(seed, size=SMALL) for seed in ('1', '2'))
    np.testing.assert_array_equal(take(first, 1)[0].data, take(first, 1)[0].data)
    assert (take(first, 1)[0].data != take(other, 1)[0].data).any()


def test_the_plain_street_takes_the_given_seed():
    by_seed = take(SyntheticSource('', size=SMALL, seed=3), 1)[0]
    np.testing.assert_array_equal(by_seed.data, take(SyntheticSource('3', size=SMALL), 1)[0].data)


def test_a_split_shows_one_still_of_each_of_its_scenes():
    source = SyntheticSource('test', size=SMALL)
    frames = take(source, 2)
    assert (source.stamps, source.continuous, source.rate) == ('none', False, None)
    for index, frame in enumerate(frames):
        scene = StreetScene(scene_seed(Split.TEST, index), size=SMALL)
        np.testing.assert_array_equal(to_bgr(frame), scene.render(0.0).image)
        assert frame.stamp_ns == 0


def test_closing_ends_a_running_iteration():
    with SyntheticSource('5', size=SMALL) as source:
        frames = iter(source)
        next(frames)
    assert list(frames) == []


@pytest.mark.parametrize('what', ['holiday', '-1', '1.5', 'Test'])
def test_what_is_neither_seed_nor_split_is_refused(what):
    with pytest.raises(SourceError, match=r'a seed .* or one of: training'):
        SyntheticSource(what)


def test_a_street_too_small_to_be_drawn_is_refused():
    with pytest.raises(SourceError, match='at least 32 x 32'):
        take(SyntheticSource('1', size=(16, 16)), 1)
