import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plain_decoding import prob_iou
from trt_perception.decoding.rotated_suppression import suppress_rotated


def run(boxes, scores, class_ids=None, iou=0.5, limit=300, *, chains=True):
    return suppress_rotated(
        np.array(boxes, np.float32).reshape(-1, 5),
        np.array(scores, np.float32),
        np.zeros(len(scores), np.int64) if class_ids is None else np.array(class_ids),
        iou,
        limit,
        chains=chains,
    ).tolist()


def plain(boxes, scores, class_ids, iou, limit, *, chains):
    """One pair after the other in float64."""
    boxes = np.array(boxes, np.float32).astype(float).tolist()
    scores = np.array(scores, np.float32).tolist()
    kept, before = [], []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        rivals = [j for j in (before if chains else kept) if class_ids[j] == class_ids[i]]
        before.append(i)
        if all(prob_iou(boxes[i], boxes[j]) <= iou for j in rivals):
            kept.append(i)
    return kept[:limit]


def scattered(count, seed=0, classes=2, extent=200.0):
    rng = np.random.default_rng(seed)
    sizes = rng.random((count, 2)) * (60, 15) + 2
    centres = rng.random((count, 2)) * extent
    boxes = np.column_stack([centres, sizes, rng.normal(0, 3, count)])
    return boxes.astype(np.float32), rng.random(count), rng.integers(0, classes, count)


def test_no_boxes():
    assert run([], []) == []


def test_of_two_alike_the_better_stays():
    box = [50, 50, 40, 20, 0.5]
    assert run([box, [51, 50, 40, 20, 0.5]], [0.5, 0.9]) == [1]
    assert run([box, box], [0.5, 0.9], [0, 1]) == [1, 0]


def test_half_a_turn_changes_nothing():
    assert run([[50, 50, 40, 20, 0.5], [50, 50, 40, 20, 0.5 + np.pi]], [0.5, 0.9]) == [1]
    assert run([[50, 50, 40, 20, 0.5], [50, 50, 20, 40, 0.5 + np.pi / 2]], [0.5, 0.9]) == [1]


def test_crossed_boxes_both_stay():
    assert run([[50, 50, 40, 4, 0], [50, 50, 40, 4, np.pi / 2]], [0.9, 0.5]) == [0, 1]


def test_only_in_chains_does_a_suppressed_box_suppress():
    chain = [[50 + 6 * i, 50, 40, 20, 0] for i in range(3)]
    assert prob_iou(chain[0], chain[1]) > 0.7 > prob_iou(chain[0], chain[2])
    assert run(chain, [0.9, 0.8, 0.7], iou=0.7) == [0]
    assert run(chain, [0.9, 0.8, 0.7], iou=0.7, chains=False) == [0, 2]


def test_equal_scores_go_by_index():
    assert run([[50, 50, 40, 20, 0]] * 3 + [[150, 50, 9, 9, 0]], [0.5] * 4) == [0, 3]


@pytest.mark.parametrize('chains', [True, False])
@pytest.mark.parametrize('iou', [0.0, 0.1, 0.45, 0.9, 1.0])
@pytest.mark.parametrize('seed', range(3))
def test_as_one_by_one(iou, chains, seed):
    boxes, scores, class_ids = scattered(120, seed)
    expected = plain(boxes, scores, class_ids, iou, 40, chains=chains)
    assert run(boxes, scores, class_ids, iou, 40, chains=chains) == expected


@pytest.mark.parametrize('chains', [True, False])
def test_more_than_one_block_as_one_by_one(chains):
    boxes, scores, class_ids = scattered(700, extent=900.0)
    expected = plain(boxes, scores, class_ids, 0.3, 600, chains=chains)
    assert len(expected) > 300
    assert run(boxes, scores, class_ids, 0.3, 600, chains=chains) == expected


grid = st.integers(1, 6)
items = st.tuples(grid, grid, grid, grid, st.integers(-8, 8), st.integers(0, 4), st.integers(0, 1))


@given(
    st.lists(items, max_size=20),
    st.sampled_from([0.0, 0.3, 0.61]),
    st.integers(1, 20),
    st.booleans(),
)
@settings(max_examples=50)
def test_as_one_by_one_on_a_grid(found, iou, limit, chains):
    boxes = [(8 * x, 8 * y, 9 * w, 7 * h, 0.3 * angle) for x, y, w, h, angle, *_ in found]
    scores, class_ids = [item[5] / 4 for item in found], [item[6] for item in found]
    expected = plain(boxes, scores, class_ids, iou, limit, chains=chains)
    assert run(boxes, scores, class_ids, iou, limit, chains=chains) == expected


def test_ten_thousand_candidates_in_one_place():
    rng = np.random.default_rng(0)
    boxes = np.array([50, 50, 40, 20, 0.5]) + rng.random((10000, 5)) * (2, 2, 1, 1, 0.01)
    assert len(run(boxes, np.linspace(0, 1, 10000), iou=0.3)) == 1
