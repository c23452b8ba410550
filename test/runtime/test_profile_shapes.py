"""Shapes that an engine takes, and those that it does not."""

import pytest

from trt_perception.runtime.profile_shapes import outside_profile

LEAST, GREATEST = (1, 3, 192, 320), (8, 3, 768, 1280)


@pytest.mark.parametrize('shape', [LEAST, GREATEST, (4, 3, 384, 640)])
def test_shapes_within_the_profile(shape):
    assert outside_profile('images', shape, LEAST, GREATEST) == ''


@pytest.mark.parametrize(
    ('shape', 'words'),
    [
        ((), '4 axes'),
        ((3, 384, 640), '4 axes'),
        ((9, 3, 384, 640), '--batch for as many images'),
        ((0, 3, 384, 640), '--batch'),
        ((1, 3, 384, 1312), '--size for pictures of 1312x384'),
        ((1, 3, 160, 640), '--size for pictures of 640x160'),
        ((1, 4, 384, 640), '(1, 3, 192, 320) to (8, 3, 768, 1280), not (1, 4, 384, 640)'),
    ],
)
def test_shapes_outside_the_profile_are_named_with_the_remedy(shape, words):
    problem = outside_profile('images', shape, LEAST, GREATEST)
    assert problem.startswith('images: the engine takes')
    assert words in problem
