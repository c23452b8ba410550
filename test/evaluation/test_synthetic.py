"""The synthetic street as a data set."""

from __future__ import annotations

import numpy as np
import pytest

from trt_perception.errors import EvaluationError
from trt_perception.evaluation.run_lengths import faster_coco_eval
from trt_perception.evaluation.synthetic import CATEGORIES, DEFAULT_SCENES, open_synthetic
from trt_perception.scenes import SEMANTIC_CLASSES, THING_CLASSES

SIZE = (160, 96)


def test_the_number_of_scenes():
    assert len(open_synthetic('test', SIZE, 'detect')) == DEFAULT_SCENES
    assert len(open_synthetic('validation:3', SIZE, 'detect')) == 3


@pytest.mark.parametrize('text', ['', 'nowhere', 'test:0', 'test:-1', 'test:many'])
def test_what_is_refused(text):
    with pytest.raises(EvaluationError, match='data set synthetic:'):
        open_synthetic(text, SIZE, 'detect')


def test_every_class_has_a_category():
    assert set(CATEGORIES) == set(SEMANTIC_CLASSES)


def test_the_truth_of_each_task():
    boxes = open_synthetic('test:2', SIZE, 'detect')
    masks = open_synthetic('test:2', SIZE, 'instance')
    pixels = open_synthetic('test:2', SIZE, 'semantic')
    assert (len(boxes), boxes.class_names, pixels.class_names) == (
        2,
        THING_CLASSES,
        SEMANTIC_CLASSES,
    )
    one, other, third = (data.read(1) for data in (boxes, masks, pixels))
    assert one.frame.width == 160
    np.testing.assert_array_equal(one.frame.data, third.frame.data)
    np.testing.assert_array_equal(one.truth.boxes, other.truth.boxes)
    assert one.truth.masks is None
    areas = [faster_coco_eval().core.mask.area(mask) for mask in other.truth.masks]
    assert areas == other.truth.areas.tolist()
    assert third.truth.shape == (96, 160)
    assert third.truth.max() < len(SEMANTIC_CLASSES)
