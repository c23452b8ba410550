import pytest

from trt_perception.building.engine_identity import ShapeRange
from trt_perception.building.optimization_profiles import check_profiles, profiles_for
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
