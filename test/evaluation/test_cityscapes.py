"""Folders in the layout of Cityscapes, made here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trt_perception.errors import EvaluationError, SourceError
from trt_perception.evaluation.cityscapes import LABELS, open_cityscapes

NAME = 'ulm_000000_000019'


def write(root, truth, ending='labelIds', name=NAME, split='val', size=None):
    """One image, grey, with its truth; `truth` None leaves that out."""
    city = name.split('_')[0]
    images = root / 'leftImg8bit' / split / city
    labels = root / 'gtFine' / split / city
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    shape = size or truth.shape
    cv2.imwrite(str(images / f'{name}_leftImg8bit.png'), np.full((*shape, 3), 90, np.uint8))
    if truth is not None:
        cv2.imwrite(str(labels / f'{name}_gtFine_{ending}.png'), truth)
    return root


def test_an_empty_folder(tmp_path):
    with pytest.raises(EvaluationError, match=r'there is no folder .*leftImg8bit'):
        open_cityscapes(str(tmp_path))
    (tmp_path / 'leftImg8bit' / 'val').mkdir(parents=True)
    with pytest.raises(EvaluationError, match=r'there is no folder .*gtFine'):
        open_cityscapes(str(tmp_path))
    (tmp_path / 'gtFine' / 'val').mkdir(parents=True)
    with pytest.raises(EvaluationError, match='holds no files'):
        open_cityscapes(str(tmp_path))


def test_label_ids(tmp_path):
    # 7 road, 8 pavement, 33 bicycle; 0 unlabelled, 6 ground, 29 caravan, 255 licence plate.
    truth = np.array([[7, 8, 33, 26], [0, 6, 29, 255]], np.uint8)
    data = open_cityscapes(f'{write(tmp_path, truth)}:val')
    sample = data.read(0)
    assert (len(data), data.label(0), sample.name) == (1, NAME, NAME)
    assert sample.truth.tolist() == [[0, 1, 18, 13], [255] * 4]
    assert (sample.frame.width, sample.frame.height) == (4, 2)


def test_train_ids(tmp_path):
    truth = np.array([[0, 1, 18, 255], [19, 13, 200, 254]], np.uint8)
    sample = open_cityscapes(str(write(tmp_path, truth, 'labelTrainIds'))).read(0)
    assert sample.truth.tolist() == [[0, 1, 18, 255], [255, 13, 255, 255]]


def test_the_classes_of_the_benchmark(tmp_path):
    data = open_cityscapes(str(write(tmp_path, np.zeros((2, 2), np.uint8))))
    assert len(data.class_names) == 19
    members = {c: [n.name for n in LABELS if n.category == c] for c in data.categories.values()}
    assert {name: len(names) for name, names in members.items()} == {
        'flat': 2,
        'construction': 3,
        'object': 3,
        'nature': 2,
        'sky': 1,
        'human': 2,
        'vehicle': 6,
    }


def test_other_splits_and_cities(tmp_path):
    truth = np.full((2, 2), 7, np.uint8)
    write(tmp_path, truth, split='test')
    write(tmp_path, truth, name='bonn_000001_000019', split='test')
    data = open_cityscapes(f'{tmp_path}:test')
    assert [data.label(i) for i in range(len(data))] == ['bonn_000001_000019', NAME]
    with pytest.raises(EvaluationError, match='val'):
        open_cityscapes(str(tmp_path))


def test_truth_that_cannot_be_used(tmp_path):
    write(tmp_path, None, size=(2, 2))
    data = open_cityscapes(str(tmp_path))
    with pytest.raises(SourceError, match='holds neither'):
        data.read(0)
    labels = tmp_path / 'gtFine' / 'val' / 'ulm' / f'{NAME}_gtFine_labelIds.png'
    labels.write_bytes(b'nothing')
    with pytest.raises(SourceError, match='not a picture of one channel'):
        data.read(0)
    cv2.imwrite(str(labels), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(SourceError, match='not a picture of one channel'):
        data.read(0)
    cv2.imwrite(str(labels), np.zeros((2, 3), np.uint8))
    with pytest.raises(SourceError, match='3x2 pixels, the image 2x2'):
        data.read(0)
