"""COCO annotation files, made here."""

from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import pytest

from trt_perception.errors import EvaluationError, SourceError
from trt_perception.evaluation.coco import open_coco
from trt_perception.evaluation.run_lengths import faster_coco_eval

CONTENT = {
    'images': [
        {'id': 7, 'file_name': 'b.png', 'width': 8, 'height': 6},
        {'id': 3, 'file_name': 'in/a.png', 'width': 8, 'height': 6, 'license': 1},
    ],
    'annotations': [
        {
            'id': 1,
            'image_id': 7,
            'category_id': 18,
            'bbox': [1, 2, 3, 4],
            'area': 11.5,
            'iscrowd': 0,
            'segmentation': [[1, 2, 4, 2, 4, 6, 1, 6]],
        },
    ],
    'categories': [{'id': 18, 'name': 'dog', 'supercategory': 'animal'}, {'id': 2, 'name': 'car'}],
}


@pytest.fixture
def opened(tmp_path):
    """Writes the images and a changed annotation file, and opens them."""

    def run(change=lambda content: None, task='detect'):
        content = copy.deepcopy(CONTENT)
        change(content)
        (tmp_path / 'images' / 'in').mkdir(parents=True, exist_ok=True)
        for name in ('b.png', 'in/a.png'):
            cv2.imwrite(str(tmp_path / 'images' / name), np.full((6, 8, 3), 90, np.uint8))
        (tmp_path / 'truth.json').write_text(json.dumps(content))
        return open_coco(f'{tmp_path}/truth.json:{tmp_path}/images', task)

    return run


def test_an_image_without_objects(opened):
    data = opened()
    assert (len(data), data.label(0), data.class_names) == (2, 'in/a.png', ('dog', 'car'))
    truth = data.read(0).truth
    assert truth.boxes.shape == (0, 4)
    assert truth.masks is None
    assert opened(task='instance').read(0).truth.masks == ()


def test_boxes_and_areas(opened):
    truth = opened().read(1).truth
    assert truth.boxes.tolist() == [[1, 2, 4, 6]]
    assert (truth.class_ids.tolist(), truth.areas.tolist(), truth.crowd.tolist()) == (
        [0],
        [11.5],
        [False],
    )
    without = opened(lambda c: c['annotations'][0].pop('area'))
    assert without.read(1).truth.areas.tolist() == [12]


def test_polygons_and_both_kinds_of_run_lengths(opened):
    wanted = np.zeros((6, 8), np.uint8)
    wanted[2:6, 1:4] = 1
    library = faster_coco_eval().core.mask
    counts = [8, 4, 2, 4, 2, 4, 24]
    runs = library.encode(np.asfortranarray(wanted))['counts']
    text = runs.decode() if isinstance(runs, bytes) else runs
    for segmentation in (
        CONTENT['annotations'][0]['segmentation'],
        {'size': [6, 8], 'counts': counts},
        {'size': [6, 8], 'counts': text},
    ):
        data = opened(
            lambda c, s=segmentation: c['annotations'][0].update(segmentation=s), 'instance'
        )
        (mask,) = data.read(1).truth.masks
        np.testing.assert_array_equal(library.decode(mask), wanted)


@pytest.mark.parametrize(
    ('segmentation', 'text'),
    [
        ([[1, 2, 3]], 'at least three points'),
        ({'size': [8, 6], 'counts': [48]}, r'size \[8, 6\], the image has \[6, 8\]'),
        ({'size': [6, 8], 'counts': [4]}, 'add up to 4, not 48'),
        ('circle', 'neither polygons nor run lengths'),
    ],
)
def test_masks_that_cannot_be_used(opened, segmentation, text):
    data = opened(lambda c: c['annotations'][0].update(segmentation=segmentation), 'instance')
    with pytest.raises(SourceError, match=f'annotation 1: .*{text}'):
        data.read(1)


def test_images_that_cannot_be_used(opened, tmp_path):
    data = opened()
    cv2.imwrite(str(tmp_path / 'images' / 'b.png'), np.zeros((6, 9, 3), np.uint8))
    with pytest.raises(SourceError, match='9x6 pixels, the annotations say 8x6'):
        data.read(1)
    (tmp_path / 'images' / 'b.png').write_bytes(b'')
    with pytest.raises(SourceError, match=r'b\.png: cannot be read'):
        data.read(1)


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda c: c.pop('categories'), 'categories'),
        (lambda c: c['images'].clear(), 'lists no images'),
        (lambda c: c['images'][0].update(id=3), 'image id 3 stands there twice'),
        (lambda c: c['categories'][0].update(name='car'), "category name 'car' stands there twice"),
        (lambda c: c['images'][0].update(file_name='../b.png'), 'leaves the folder'),
        (lambda c: c['images'][0].update(file_name='/b.png'), 'leaves the folder'),
        (lambda c: c['annotations'][0].update(image_id=4), 'image 4, which is not listed'),
        (lambda c: c['annotations'][0].update(category_id=4), 'category 4, which is not listed'),
        (lambda c: c['annotations'][0].update(bbox=[1, 2, -3, 4]), 'not negative'),
        (lambda c: c['annotations'][0].update(bbox=[1, 2]), 'bbox'),
        (lambda c: c['annotations'][0].pop('segmentation'), 'has no segmentation'),
    ],
)
def test_annotation_files_that_are_refused(opened, change, text):
    with pytest.raises(EvaluationError, match=text):
        opened(change, 'instance')


def test_files_that_are_missing_or_no_json(tmp_path, opened):
    opened()
    with pytest.raises(EvaluationError, match='no folder of images'):
        open_coco(f'{tmp_path}/truth.json:{tmp_path}/nowhere', 'detect')
    with pytest.raises(EvaluationError, match=r'none\.json: cannot be read'):
        open_coco(f'{tmp_path}/none.json:{tmp_path}', 'detect')
    (tmp_path / 'bad.json').write_text('{')
    with pytest.raises(EvaluationError, match='Expected an object with images'):
        open_coco(f'{tmp_path}/bad.json:{tmp_path}', 'detect')
    with pytest.raises(EvaluationError, match='name both'):
        open_coco('truth.json', 'detect')
