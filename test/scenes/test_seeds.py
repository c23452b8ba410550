"""Seeds: no scene belongs to two splits."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.scenes.seeds import SCENES_PER_SPLIT, Split, scene_seed

indices = st.integers(0, SCENES_PER_SPLIT - 1)


@given(
    splits=st.sampled_from(list(combinations(Split, 2))),
    one=indices,
    other=indices,
)
def test_ranges_of_two_splits_are_disjoint(
    splits: tuple[Split, Split], one: int, other: int
) -> None:
    # Each split keeps to its own ten million seeds, so that no two can meet.
    ranges = [
        scene_seed(split, index) // SCENES_PER_SPLIT
        for split, index in zip(splits, (one, other), strict=True)
    ]
    assert ranges == [split.value for split in splits]


@given(split=st.sampled_from(Split), one=indices, other=indices)
def test_seeds_of_one_split_differ_where_the_index_does(split: Split, one: int, other: int) -> None:
    assert (scene_seed(split, one) == scene_seed(split, other)) == (one == other)


@pytest.mark.parametrize('index', [-1, SCENES_PER_SPLIT])
def test_an_index_outside_the_range_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=str(index)):
        scene_seed(Split.TEST, index)
