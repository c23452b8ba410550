import pytest

from trt_perception.building.engine_identity import ShapeRange
from trt_perception.building.network_stride import NetworkStride
from trt_perception.building.optimization_profiles import (
    check_multiples,
    check_profiles,
    profiles_for,
)
from trt_perception.errors import ParameterError

SIZE = (640, 480)
FIXED = {'images': (1, 3, 480, 640)}
OPEN_BATCH = {'images': (-1, 3, 480, 640)}
OPEN = {'images': (-1, 3, -1, -1)}


def test_a_network_with_fixed_extents_needs_no_profile():
    assert profiles_for({}, SIZE, None, 'net') == ()
    assert profiles_for(FIXED, SIZE, None, 'net') == ()
    assert profiles_for(FIXED, SIZE, (1, 1, 1), 'net') == ()


@pytest.mark.parametrize('inputs', [OPEN_BATCH, OPEN])
def test_what_is_open_is_one_image_of_the_models_size_unless_stated(inputs):
    one = (1, 3, 480, 640)
    expected = ShapeRange(min=one, opt=one, max=one)
    assert profiles_for(inputs, SIZE, None, 'net') == ({'images': expected},)


def test_the_batch_spans_a_range():
    (profile,) = profiles_for(OPEN, SIZE, (1, 4, 8), 'net')
    assert str(profile['images']) == '1x3x480x640:4x3x480x640:8x3x480x640'


def test_a_batch_that_the_network_does_not_have_is_refused():
    with pytest.raises(ParameterError, match=r'axis 0 fixed at 1; 1:4:8 is not possible'):
        profiles_for(FIXED, SIZE, (1, 4, 8), 'net')


def test_the_size_spans_a_range():
    sizes = ((320, 240), (640, 480), (1280, 960))
    (profile,) = profiles_for(OPEN, SIZE, (1, 2, 4), 'net', sizes)
    assert str(profile['images']) == '1x3x240x320:2x3x480x640:4x3x960x1280'
    (profile,) = profiles_for(OPEN, SIZE, None, 'net', sizes)
    assert str(profile['images']) == '1x3x240x320:1x3x480x640:1x3x960x1280'


def test_the_only_size_may_be_stated():
    assert profiles_for(OPEN, SIZE, None, 'net', (SIZE,) * 3) == profiles_for(
        OPEN, SIZE, None, 'net'
    )
    assert profiles_for(FIXED, SIZE, None, 'net', (SIZE,) * 3) == ()


def test_one_side_may_be_open_alone():
    inputs = {'images': (1, 3, 480, -1)}
    sizes = ((320, 480), (640, 480), (960, 480))
    (profile,) = profiles_for(inputs, SIZE, None, 'net', sizes)
    assert str(profile['images']) == '1x3x480x320:1x3x480x640:1x3x480x960'
    with pytest.raises(ParameterError, match='height fixed at 480'):
        profiles_for(inputs, SIZE, None, 'net', ((320, 240), SIZE, SIZE))


@pytest.mark.parametrize(
    ('inputs', 'sizes', 'match'),
    [
        (FIXED, ((320, 240), SIZE, SIZE), r'size 320x240:640x480:\S+ .*width fixed at 640.*Export'),
        (OPEN_BATCH, ((640, 480), SIZE, (640, 960)), 'height fixed at 480'),
        ({'x': (1, -1)}, (SIZE,) * 3, r'input x \[1, \?\] is no image'),
        (OPEN, ((320, 240),) * 3, r'leaves out 640x480, the input.size of the model YAML'),
        (OPEN, ((320, 240), (320, 240), (1280, 479)), 'leaves out 640x480'),
        (OPEN, (SIZE, (320, 480), SIZE), 'both be min <= opt <= max'),
        (OPEN, ((0, 480), SIZE, SIZE), 'each at least 1'),
    ],
)
def test_sizes_that_cannot_be_are_refused(inputs, sizes, match):
    with pytest.raises(ParameterError, match=match):
        profiles_for(inputs, SIZE, None, 'net', sizes)


def test_sizes_must_be_multiples_of_what_the_network_asks_for():
    stride = NetworkStride(32, 32, '/Concat_7')
    check_multiples(((320, 192), (640, 384), (1280, 736)), stride, 'net')
    with pytest.raises(ParameterError, match=r'330x192 .*multiples of 32.*/Concat_7.*is 352x192'):
        check_multiples(((330, 192), (640, 384), (1280, 736)), stride, 'net')
    with pytest.raises(ParameterError, match=r'1280x720 .*fits is 1280x736'):
        check_multiples(((320, 192), (640, 384), (1280, 720)), stride, 'net')
    with pytest.raises(ParameterError, match=r'330x192 .*a multiple of 1 and one of 5.* 330x195'):
        check_multiples(((330, 192),) * 3, NetworkStride(1, 5, 'x'), 'net')


@pytest.mark.parametrize('batch', [(4, 1, 8), (1, 8, 4), (0, 1, 2), (-1, 1, 2)])
def test_the_range_must_rise(batch):
    with pytest.raises(ParameterError, match='min <= opt <= max'):
        profiles_for(OPEN_BATCH, SIZE, batch, 'net')


@pytest.mark.parametrize('shape', [(1, -1, 4, 4), (1, 3, -1), (-1, 3, 4, 4, -1)])
def test_an_extent_that_nobody_knows_is_named(shape):
    with pytest.raises(ParameterError, match=r'net: input x \[.*\?.*\] leaves axis \d open'):
        profiles_for({'x': shape}, SIZE, None, 'net')


def test_an_open_extent_without_a_profile_is_told_what_to_state():
    with pytest.raises(ParameterError, match=r'images \[\?, 3, 480, 640\] has open.*--batch'):
        check_profiles(OPEN_BATCH, (), 'net')


def profile(*shapes):
    return ({'images': ShapeRange(*shapes)},)


@pytest.mark.parametrize(
    ('profiles', 'match'),
    [
        (({'other': ShapeRange((1,), (1,), (1,))},), 'needs an optimisation profile'),
        (profile((1, 3), (1, 3), (1, 3)), 'has 4 axes'),
        (profile((1, 1, 480, 640), (1, 3, 480, 640), (1, 3, 480, 640)), 'axis 1 fixed at 3'),
        (
            (
                *profile((1, 3, 480, 640), (1, 3, 480, 640), (1, 3, 480, 640)),
                {},
            ),
            'needs an optimisation profile',
        ),
    ],
    ids=['another input', 'another rank', 'a fixed extent', 'an empty second profile'],
)
def test_profiles_that_do_not_fit_are_refused(profiles, match):
    with pytest.raises(ParameterError, match=match):
        check_profiles(OPEN_BATCH, profiles, 'net')


def test_a_profile_of_an_unknown_input_is_refused():
    with pytest.raises(ParameterError, match='names input other; there are: images'):
        check_profiles(FIXED, ({'other': ShapeRange((1,), (1,), (1,))},), 'net')
