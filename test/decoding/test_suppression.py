import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.decoding.suppression import suppress


def run(boxes, scores, class_ids, iou=0.5, max_detections=300):
    return suppress(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(class_ids, np.int64),
        iou,
        max_detections,
    ).tolist()


def plain(boxes, scores, class_ids, iou, max_detections):
    """One pair after the other in float64."""
    boxes, scores = np.array(boxes, np.float32).astype(float), np.array(scores, np.float32)
    # NaN has no place in an order: sorting by it would shuffle the others.
    order = sorted(np.flatnonzero(np.isfinite(scores)), key=lambda i: (-scores[i], i))
    kept = []
    for i in order:
        x1, y1, x2, y2 = boxes[i]
        if not (np.isfinite(boxes[i]).all() and x2 > x1 and y2 > y1):
            continue
        for j in kept:
            if class_ids[i] != class_ids[j]:
                continue
            a1, b1, a2, b2 = boxes[j]
            shared = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
            union = (a2 - a1) * (b2 - b1) + (x2 - x1) * (y2 - y1) - shared
            if shared / union > iou:
                break
        else:
            kept.append(i)
    return kept[:max_detections]


def scattered(count, seed=0, classes=3, extent=300):
    rng = np.random.default_rng(seed)
    corners = rng.random((count, 2)) * extent
    boxes = np.concatenate([corners, corners + rng.random((count, 2)) * 100 + 1], 1)
    return boxes, rng.random(count), rng.integers(0, classes, count)


def test_no_boxes():
    assert run([], [], []) == []


def test_of_two_alike_the_better_stays():
    assert run([[0, 0, 10, 10], [1, 0, 11, 10]], [0.5, 0.9], [0, 0]) == [1]


def test_classes_do_not_suppress_each_other():
    assert run([[0, 0, 10, 10], [0, 0, 10, 10]], [0.5, 0.9], [0, 1]) == [1, 0]


def test_an_overlap_of_just_the_limit_stays():
    boxes = [[0, 0, 2, 1], [1, 0, 3, 1]]
    assert run(boxes, [0.9, 0.8], [0, 0], iou=1 / 3) == [0, 1]
    assert run(boxes, [0.9, 0.8], [0, 0], iou=0.333) == [0]


def test_equal_scores_go_by_index():
    assert run([[0, 0, 1, 1]] * 3 + [[5, 5, 6, 6]], [0.5] * 4, [0] * 4) == [0, 3]


def test_a_suppressed_box_suppresses_nothing():
    chain = [[0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]]
    assert run(chain, [0.9, 0.8, 0.7], [0, 0, 0], iou=0.4) == [0, 2]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', range(5))
def test_boxes_and_scores_that_are_not_finite_are_left_out(bad, place):
    values = np.array([[0, 0, 10, 10, 0.9], [0, 0, 10, 10, 0.5]])
    values[0, place] = bad
    assert run(values[:, :4], values[:, 4], [0, 0]) == [1]


@pytest.mark.parametrize('box', [[3, 3, 3, 9], [3, 3, 9, 3], [9, 3, 3, 9], [3, 9, 9, 3]])
def test_boxes_without_area_are_left_out(box):
    assert run([box, [2, 2, 10, 10]], [0.9, 0.5], [0, 0], iou=0.0) == [1]


def test_huge_and_tiny_numbers():
    boxes = [[-3e38, -3e38, 3e38, 3e38], [0, 0, 1e-38, 1e-38], [0, 0, 1, 1]]
    assert run(boxes, [0.9, 0.8, 0.7], [0, 0, 0]) == [0, 1, 2]


@pytest.mark.parametrize('limit', [1, 7, 511, 512, 513, 2000])
def test_the_best_ones_are_kept_up_to_the_limit(limit):
    boxes = [[3 * i, 0, 3 * i + 2, 2] for i in range(1500)]
    scores = np.random.default_rng(0).permutation(1500)
    expected = np.argsort(-scores)[:limit].tolist()
    assert run(boxes, scores, np.zeros(1500), max_detections=limit) == expected


@pytest.mark.parametrize('iou', [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize('classes', [1, 5])
def test_more_than_one_block_as_one_by_one(iou, classes):
    boxes, scores, class_ids = scattered(1300, classes=classes, extent=900)
    expected = plain(boxes, scores, class_ids, iou, 1000)
    assert run(boxes, scores, class_ids, iou, 1000) == expected


# Numbers on a coarse grid, so that equal scores, equal boxes and exact limits come up.
grid = st.integers(0, 8)
items = st.tuples(grid, grid, grid, grid, st.integers(0, 5), st.integers(0, 2))


@given(
    st.lists(items, max_size=40), st.sampled_from([0.0, 0.25, 0.5, 0.6, 1.0]), st.integers(1, 40)
)
@settings(max_examples=300)
def test_as_one_by_one_on_a_grid(found, iou, limit):
    boxes = [item[:4] for item in found]
    scores = [item[4] / 5 for item in found]
    class_ids = [item[5] for item in found]
    assert run(boxes, scores, class_ids, iou, limit) == plain(boxes, scores, class_ids, iou, limit)


floats = st.floats(width=32)


@given(st.lists(st.tuples(floats, floats, floats, floats, floats), max_size=20))
def test_as_one_by_one_for_any_numbers(found):
    boxes, scores = [item[:4] for item in found], [item[4] for item in found]
    class_ids = [0] * len(found)
    with np.errstate(all='ignore'):
        expected = plain(boxes, scores, class_ids, 0.5, 300)
    assert run(boxes, scores, class_ids) == expected


def test_thirty_thousand_candidates_in_one_place():
    boxes = np.array([10, 10, 50, 50]) + np.random.default_rng(0).random((30000, 4))
    assert len(run(boxes, np.linspace(0, 1, 30000), np.zeros(30000))) == 1
