"""The command line's evaluation, in a process of its own."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from trt_perception.cli.evaluate import renamed
from trt_perception.errors import ParameterError


@pytest.fixture
def coco(tmp_path):
    """Two images with the car and the dog that the detector finds, and one that is damaged."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for name in ('a.png', 'b.png'):
        cv2.imwrite(str(folder / name), np.full((48, 64, 3), 90, np.uint8))
    (folder / 'c.png').write_bytes(b'nothing')
    images = [
        {'id': i, 'file_name': name, 'width': 64, 'height': 48}
        for i, name in enumerate(('a.png', 'b.png', 'c.png'))
    ]
    objects = [
        {'id': 2 * i + k, 'image_id': i, 'category_id': k, 'bbox': box}
        for i in range(3)
        for k, box in enumerate(([24, 20, 16, 8], [6, 6, 4, 4]))
    ]
    categories = [{'id': 0, 'name': 'Car'}, {'id': 1, 'name': 'hound'}]
    content = {'images': images, 'annotations': objects, 'categories': categories}
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    return 'coco:truth.json:pictures'


def test_an_empty_data_set(command, detector, tmp_path):
    empty = {'images': [], 'annotations': [], 'categories': [{'id': 0, 'name': 'car'}]}
    (tmp_path / 'truth.json').write_text(json.dumps(empty))
    done = command('evaluate', detector, '--dataset', f'coco:truth.json:{tmp_path}')
    assert done.returncode == 2
    assert 'lists no images' in done.stderr


def test_a_report(command, detector, coco, tmp_path):
    line = ('evaluate', detector, '--dataset', coco, '--precisions', 'fp32,fp16', '--out', 'out')
    done = command(*line, '--map', 'hound=dog')
    assert done.returncode == 0, done.stderr
    assert 'skipped c.png: ' in done.stdout
    document = json.loads((tmp_path / 'out' / 'evaluate_detector.json').read_text())
    assert document['images'] == 2
    assert [n['precision'] for n in document['networks']] == ['fp32', 'fp16']
    for network in document['networks']:
        assert network['accuracy']['boxes']['by_class'] == {
            'Car': pytest.approx(1),
            'hound': pytest.approx(1),
        }
    assert str(tmp_path) not in json.dumps({**document, 'skipped': []})
    endings = {file.name.partition('detector')[2] for file in (tmp_path / 'out').iterdir()}
    assert endings == {
        '.json',
        '.md',
        '_latency.svg',
        '_classes_boxes.svg',
        '_confusion_fp32.svg',
        '_confusion_fp16.svg',
    }


def test_cityscapes_folders(command, semantic, tmp_path):
    for part, ending, picture in (
        ('leftImg8bit', 'leftImg8bit', np.full((48, 64, 3), 90, np.uint8)),
        ('gtFine', 'gtFine_labelIds', np.repeat(np.uint8([23, 7]), 24)[:, None].repeat(64, 1)),
    ):
        folder = tmp_path / 'city' / part / 'val' / 'ulm'
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / f'ulm_000000_000019_{ending}.png'), picture)
    line = ('evaluate', semantic, '--dataset', 'cityscapes:city')
    done = command(*line)
    assert done.returncode == 2
    assert 'only in the data set: sidewalk, building' in done.stderr
    done = command(*line, '--common-classes', '--out', 'out', '-q')
    assert done.returncode == 0, done.stderr
    assert 'Not judged, only in the data set: sidewalk' in done.stdout
    (network,) = json.loads((tmp_path / 'out/evaluate_semantic.json').read_text())['networks']
    assert network['accuracy']['semantic']['miou'] == 1
    assert network['accuracy']['semantic']['by_category'] == {'flat': 1, 'sky': 1}


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--dataset', 'imagenet:x'], 'unknown kind'),
        (['--dataset', 'synthetic:test:none'], 'not a number of scenes'),
        (['--dataset', 'cityscapes:.'], 'read as semantic truth'),
        (['--dataset', 'synthetic:test:1'], 'only in the data set: lorry'),
        (['--dataset', 'synthetic:test:1', '--map', 'lorry'], 'expected DATA=MODEL'),
        (
            ['--dataset', 'synthetic:test:1', '--common-classes', '--precisions', 'fp8'],
            "'fp8' is unknown",
        ),
        (
            ['--dataset', 'synthetic:test:1', '--common-classes', '--precisions', 'int8'],
            'needs calibrated ranges',
        ),
        (
            ['--dataset', 'synthetic:test:1', '--common-classes', '--backends', 'magic'],
            "backend 'magic' is unknown",
        ),
        (
            ['--dataset', 'synthetic:test:1', '--common-classes', '--out', 'detector.yaml'],
            'cannot be made',
        ),
    ],
)
def test_what_is_refused(command, detector, arguments, text):
    done = command('evaluate', detector, *arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stderr.count('\n') == 1


def test_renamed_classes():
    assert renamed([]) == {}
    assert renamed(['person=pedestrian', 'a=b=c']) == {'person': 'pedestrian', 'a': 'b=c'}
    with pytest.raises(ParameterError, match='expected DATA=MODEL'):
        renamed(['=b'])
