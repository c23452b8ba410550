"""Average precision of few objects, worked out by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from trt_perception.errors import MissingDependencyError
from trt_perception.evaluation.average_precision import (
    PrecisionTruth,
    found_objects,
    precision_figures,
)
from trt_perception.evaluation.class_mapping import match_classes
from trt_perception.evaluation.dataset import TrueObjects
from trt_perception.evaluation.run_lengths import encoded
from trt_perception.results import Detections, InstanceMask

NAMES = ('car', 'dog')
SIZE = (64, 48)


def objects(boxes, kinds, crowd=None, masks=None):
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    crowd = np.array(crowd or [False] * len(boxes), np.bool_)
    return TrueObjects(boxes, np.array(kinds, np.int64), crowd, areas, masks)


def found(boxes, kinds, scores, masks=None):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(kinds, np.int64),
        SIZE,
        masks,
    )


def figures(pairs, kind='bbox'):
    truth = PrecisionTruth(NAMES)
    results = []
    for true, detections in pairs:
        results += found_objects(detections, truth.add(true, SIZE))
    return precision_figures(truth, results, kind)


LEFT, RIGHT = (2, 2, 12, 12), (40, 20, 60, 40)


def test_no_images_and_nothing_to_find():
    nothing = {'map50_95': None, 'map50': None, 'by_class': {'car': None, 'dog': None}}
    assert figures([]) == nothing
    assert figures([(objects([], []), found([], [], []))]) == nothing
    assert figures([(objects([], []), found([LEFT], [0], [0.9]))]) == nothing


def test_nothing_found():
    done = figures([(objects([LEFT], [0]), found([], [], []))])
    assert done == {'map50_95': 0, 'map50': 0, 'by_class': {'car': 0, 'dog': None}}


def test_perfect_answers():
    done = figures([(objects([LEFT, RIGHT], [0, 1]), found([RIGHT, LEFT], [1, 0], [0.9, 0.4]))])
    assert done['map50_95'] == pytest.approx(1)
    assert done['by_class'] == {'car': pytest.approx(1), 'dog': pytest.approx(1)}


def test_a_certain_mistake_before_the_one_right_answer():
    # Precision is 1/2 at every recall.
    done = figures([(objects([LEFT], [0]), found([RIGHT, LEFT], [0, 0], [0.9, 0.5]))])
    assert done['map50'] == pytest.approx(0.5)


def test_one_of_two_found():
    # Precision 1 at the recalls 0, 0.01 ... 0.5, and 0 above: 51 of 101.
    done = figures([(objects([LEFT, RIGHT], [0, 0]), found([LEFT], [0], [0.9]))])
    assert done['map50'] == pytest.approx(51 / 101)


def test_a_box_that_is_cut_short():
    # It overlaps by 0.61: right at the thresholds 0.50, 0.55 and 0.60, wrong at the other seven.
    done = figures([(objects([(0, 0, 10, 10)], [0]), found([(0, 0, 6.1, 10)], [0], [0.9]))])
    assert done['map50'] == pytest.approx(1)
    assert done['map50_95'] == pytest.approx(0.3)


def test_a_crowd_need_not_be_found_and_excuses_what_lies_on_it():
    true = objects([LEFT, RIGHT], [0, 0], crowd=[False, True])
    masks = tuple(encoded(np.ones((SIZE[1], SIZE[0]), np.bool_)) for _ in range(2))
    true = TrueObjects(true.boxes, true.class_ids, true.crowd, true.areas, masks)
    done = figures([(true, found([RIGHT, LEFT], [0, 0], [0.9, 0.5]))])
    assert done['map50'] == pytest.approx(1)


def test_masks_are_judged_by_their_own_shape():
    whole = np.zeros((SIZE[1], SIZE[0]), np.bool_)
    whole[2:12, 2:12] = True
    true = objects([LEFT], [0], masks=(encoded(whole),))
    full = InstanceMask(2, 2, np.ones((10, 10), np.bool_))
    third = InstanceMask(2, 2, np.arange(10)[:, None].repeat(10, 1) < 3)
    assert figures([(true, found([LEFT], [0], [0.9], [full]))], 'segm')['map50_95'] == 1
    wrong = [(true, found([LEFT], [0], [0.9], [third]))]
    assert figures(wrong, 'segm')['map50'] == 0
    assert figures(wrong)['map50'] == 1


def test_classes_that_are_not_judged_are_left_out():
    classes = match_classes(['dog', 'train'], ['car', 'dog'], common_only=True)
    truth = PrecisionTruth(classes.names)
    image = truth.add(objects([LEFT, RIGHT], [0, 1]), SIZE, classes.truth)
    results = found_objects(found([LEFT, RIGHT], [1, 0], [0.5, 0.9]), image, classes.found)
    assert len(truth.annotations) == len(results) == 1
    assert precision_figures(truth, results, 'bbox')['by_class'] == {'dog': pytest.approx(1)}


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    with pytest.raises(MissingDependencyError, match=r'trt_perception\[evaluate\]'):
        figures([])
