import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.decoding.class_map import interpolated_classes, nearest_classes
from trt_perception.preprocessing.letterbox import Letterbox

TABLE = np.arange(256, dtype=np.uint8)
SOURCES = [(1920, 1080), (640, 480), (480, 640), (500, 500), (1000, 210), (64, 48), (20, 30)]


def plain_logits(logits, letterbox):
    """float64 [classes, H, W]: every pixel of the source, interpolated tap by tap."""
    values = logits.astype(float)
    for axis in (0, 1):
        cells = values.shape[2 - axis]
        centres = np.arange(letterbox.source[axis]) + 0.5
        network = centres * letterbox.resized[axis] / letterbox.source[axis]
        network = (network + letterbox.offset[axis]) * cells / letterbox.network[axis]
        position = np.clip(network - 0.5, 0, cells - 1)
        lower = np.floor(position).astype(int)
        upper = np.minimum(lower + 1, cells - 1)
        weight = (position - lower) if axis == 0 else (position - lower)[:, None]
        low, high = values.take(lower, axis=2 - axis), values.take(upper, axis=2 - axis)
        values = low * (1 - weight) + high * weight
    return values


def check(logits, letterbox):
    found = interpolated_classes(logits, letterbox, TABLE)
    values = plain_logits(logits, letterbox)
    assert found.shape == letterbox.source[::-1]
    # The class found is the highest one, or so close to it that float32 cannot tell.
    highest = values.max(axis=0)
    chosen = np.take_along_axis(values, found[None].astype(int), 0)[0]
    assert np.all(highest - chosen <= 1e-5 * np.abs(logits).max())


def noise(seed, classes, height, width):
    return np.random.default_rng(seed).standard_normal((classes, height, width)).astype('f4')


@pytest.mark.parametrize('source', SOURCES)
@pytest.mark.parametrize('stride', [1, 4])
def test_as_interpolating_every_logit(source, stride):
    letterbox = Letterbox.fit(source, (128, 96))
    check(noise(0, 5, 96 // stride, 128 // stride), letterbox)


@given(
    st.integers(0, 1000),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(1, 6),
    st.sampled_from(['letterbox', 'stretch']),
)
@settings(max_examples=80)
def test_as_interpolating_every_logit_of_any_size(seed, source, grid, classes, resize):
    check(noise(seed, classes, *grid), Letterbox.fit(source, (64, 48), resize))


@given(st.integers(0, 1000), st.tuples(st.integers(1, 90), st.integers(1, 90)))
@settings(max_examples=40)
def test_of_equal_logits_the_first_class_wins(seed, source):
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 2, (4, 6, 8)).astype(np.float32)
    doubled = np.repeat(logits, 2, axis=0)
    found = interpolated_classes(doubled, Letterbox.fit(source, (64, 48)), TABLE)
    assert np.all(found % 2 == 0)


def test_a_class_between_two_others_is_found():
    """Highest at no cell's centre, yet highest in between."""
    logits = np.array([[[4, 0]], [[3, 3]], [[0, 4]]], np.float32)
    found = interpolated_classes(logits, Letterbox.fit((80, 1), (80, 1)), TABLE)[0]
    assert found[0] == 0
    assert found[-1] == 2
    assert np.mean(found == 1) == pytest.approx(0.25, abs=0.03)


def test_a_border_returns_within_half_a_pixel():
    letterbox = Letterbox.fit((1920, 1080), (640, 384))
    border = 845.0
    x = np.arange(160) * 4 + 2.0
    distance = x - letterbox.to_network(np.array([border, 0.0]))[0]
    logits = np.broadcast_to(np.stack([-distance, distance])[:, None], (2, 96, 160))
    found = interpolated_classes(logits.astype(np.float32), letterbox, TABLE)
    assert np.all(np.abs((found == 0).sum(axis=1) - border) <= 0.5)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('channel', [0, 1])
def test_logits_that_are_not_finite_leave_pixels_unlabelled(bad, channel):
    logits = np.zeros((2, 12, 16), np.float32)
    logits[1] = 1
    logits[channel, 5, 7] = bad
    found = interpolated_classes(logits, Letterbox.fit((64, 48), (64, 48)), TABLE)
    assert np.all(found[20:24, 28:32] == 255)
    away = np.ones(found.shape, bool)
    away[16:28, 24:36] = False
    assert np.all(found[away] == 1)


def test_nothing_finite_at_all():
    logits = np.full((3, 12, 16), np.nan, np.float32)
    assert np.all(interpolated_classes(logits, Letterbox.fit((9, 9), (64, 48)), TABLE) == 255)


def test_the_table_says_what_becomes_of_a_class():
    table = np.full(256, 255, np.uint8)
    table[1] = 7
    logits = noise(0, 3, 12, 16)
    letterbox = Letterbox.fit((100, 70), (64, 48))
    plain = interpolated_classes(logits, letterbox, TABLE)
    assert np.array_equal(interpolated_classes(logits, letterbox, table), table[plain])


@pytest.mark.parametrize('dtype', np.typecodes['AllInteger'])
def test_ids_come_from_the_nearest_cell(dtype):
    ids = np.arange(12, dtype=dtype).reshape(3, 4)
    found = nearest_classes(ids, Letterbox.fit((8, 6), (4, 3)), TABLE)
    assert np.array_equal(found, np.repeat(np.repeat(ids, 2, axis=0), 2, axis=1))


@pytest.mark.parametrize('dtype', np.typecodes['AllInteger'])
def test_the_least_and_greatest_ids_are_those_of_their_type(dtype):
    limits = np.iinfo(dtype)
    ids = np.array([[limits.min, 3, limits.max]], dtype)
    found = nearest_classes(ids, Letterbox.fit((3, 1), (3, 1)), TABLE)
    least, greatest = (i if 0 <= i < 255 else 255 for i in (limits.min, limits.max))
    assert found.tolist() == [[least, 3, greatest]]


def test_ids_out_of_range_are_unlabelled():
    ids = np.array([[-1, 3, 255, 256 + 3]])
    found = nearest_classes(ids, Letterbox.fit((4, 1), (4, 1)), TABLE)
    assert found.tolist() == [[255, 3, 255, 255]]
