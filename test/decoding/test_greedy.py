from functools import partial

import numpy as np
import pytest

from trt_perception.decoding.greedy import (
    beginning_within,
    keep_greedily,
    keep_of_block,
    on_one_line,
    without_overlaps,
)


def neighbours(first, second, reach=3):
    """Numbers that differ by less than `reach` overlap too much."""
    one, other = np.meshgrid(first, second, indexing='ij')
    near = (np.abs(one - other) < reach) & (one != other)
    return one[near], other[near]


def test_no_boxes():
    nothing = np.arange(0)
    assert keep_greedily(neighbours, 0, 300).tolist() == []
    assert keep_of_block(neighbours, nothing).tolist() == []
    assert without_overlaps(neighbours, nothing, nothing).tolist() == []
    assert without_overlaps(neighbours, nothing, np.arange(2)).tolist() == [0, 1]


@pytest.mark.parametrize('count', [1, 5, 511, 513, 2000])
def test_every_third_is_kept_over_all_blocks(count):
    assert keep_greedily(neighbours, count, 5000).tolist() == [*range(0, count, 3)]
    assert keep_greedily(neighbours, count, 7).tolist() == [*range(0, count, 3)][:7]


@pytest.mark.parametrize('reach', [2, 3, 6, 40, 600])
def test_few_pairs_and_many(reach):
    pairs = partial(neighbours, reach=reach)
    assert keep_greedily(pairs, 1300, 5000).tolist() == [*range(0, 1300, reach)]


def test_those_beside_kept_ones_go():
    kept, block = np.array([1, 600]), np.array([4, 599, 603, 700])
    assert without_overlaps(neighbours, kept, block).tolist() == [4, 603, 700]


def test_intervals_of_one_class_meet_on_the_line():
    rng = np.random.default_rng(0)
    low = rng.random(80) * 100
    high, classes = low + rng.random(80) * 20, rng.integers(0, 3, 80)
    starts, stops = on_one_line(low, high, classes)
    everything = np.arange(80)
    pairs = np.stack(beginning_within(starts, stops, everything, everything), axis=1)
    found = {frozenset(pair) for pair in pairs.tolist()}
    for i in range(80):
        for j in range(i):
            meet = classes[i] == classes[j] and low[i] <= high[j] and low[j] <= high[i]
            assert (frozenset((i, j)) in found) == meet
