"""The files of the street models agree with the scenes and with each other."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from trt_perception.scenes.classes import SEMANTIC_CLASSES, THING_CLASSES

MODELS = Path(__file__).resolve().parents[2] / 'config/models'
CLASSES = {
    'street_detect': THING_CLASSES,
    'street_instance': THING_CLASSES,
    'street_semantic': SEMANTIC_CLASSES,
}


def colors_of(model: str) -> dict[str, tuple[int, int, int]]:
    written = yaml.safe_load((MODELS / f'{model}.yaml').read_text())
    return {entry['name']: tuple(entry['color']) for entry in written['classes']}


@pytest.mark.parametrize('model', CLASSES)
def test_classes_are_those_of_the_scenes_in_their_order(model):
    assert tuple(colors_of(model)) == CLASSES[model]


@pytest.mark.parametrize('model', CLASSES)
def test_a_class_has_one_colour_in_all_models(model):
    assert colors_of(model).items() <= colors_of('street_semantic').items()


def test_the_colours_are_well_apart():
    """By their distance in CIELAB, where 2.3 is just noticeable."""
    colors = np.array([list(colors_of('street_semantic').values())], np.float32) / 255
    [lab] = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2))
    assert nearest > 25
