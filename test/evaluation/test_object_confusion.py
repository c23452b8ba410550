"""Which class objects are taken for."""

from __future__ import annotations

import numpy as np

from trt_perception.evaluation.class_mapping import match_classes
from trt_perception.evaluation.dataset import TrueObjects
from trt_perception.evaluation.object_confusion import object_confusion
from trt_perception.results import Detections

LEFT, RIGHT = (2, 2, 12, 12), (40, 20, 60, 40)


def confusion(boxes, kinds, seen, guesses, scores, crowd=None, classes=None):
    classes = classes or match_classes(['car', 'dog'], ['car', 'dog'])
    truth = TrueObjects(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(kinds, np.int64),
        np.array(crowd or [False] * len(boxes), np.bool_),
        np.ones(len(boxes)),
    )
    found = Detections(
        np.array(seen, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(guesses, np.int64),
        (64, 48),
    )
    return object_confusion(
        truth,
        found,
        len(classes.names),
        score=0.3,
        truth_classes=classes.truth,
        found_classes=classes.found,
    ).tolist()


def test_an_empty_image():
    assert confusion([], [], [], [], []) == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_right_wrong_missed_and_imagined():
    assert confusion([LEFT, RIGHT], [0, 1], [LEFT, RIGHT], [0, 0], [0.9, 0.8]) == [
        [1, 0, 0],
        [1, 0, 0],
        [0, 0, 0],
    ]
    assert confusion([LEFT], [0], [RIGHT], [1], [0.9]) == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_an_object_is_taken_once_by_the_most_certain():
    assert confusion([LEFT], [0], [LEFT, LEFT], [1, 0], [0.5, 0.9]) == [
        [1, 0, 0],
        [0, 0, 0],
        [0, 1, 0],
    ]


def test_uncertain_ones_do_not_count():
    assert confusion([LEFT], [0], [LEFT], [0], [0.29]) == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_crowds_and_classes_not_judged_are_left_out():
    assert confusion([LEFT], [0], [LEFT], [0], [0.9], crowd=[True]) == [[0] * 3] * 3
    some = match_classes(['car', 'train'], ['car', 'dog'], common_only=True)
    assert confusion([LEFT], [1], [LEFT, RIGHT], [0, 1], [0.9, 0.9], classes=some) == [[0, 0]] * 2
