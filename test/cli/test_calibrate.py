"""The command line's calibration, in a process of its own."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from family_networks import write_family
from trt_perception.building.calibration_text import parse_calibration_text
from trt_perception.sources.bag_writer import BagWriter


@pytest.fixture
def model(tmp_path):
    write_family(tmp_path / 'net.onnx', 'ddrnet')
    file = tmp_path / 'net.yaml'
    file.write_text('onnx: net.onnx\nfamily: semantic\nclasses: [a, b, c, d, e, f]\n')
    return file


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(4):
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), cv2.resize(small, (128, 96)))
    return folder


def test_an_empty_folder_is_refused(command, model, tmp_path):
    (tmp_path / 'none').mkdir()
    done = command('calibrate', model, '--images', tmp_path / 'none')
    assert done.returncode == 2
    assert 'no images in this folder' in done.stderr
    assert not (tmp_path / 'net.calibration.json').exists()


def test_a_calibration_and_its_cache(command, model, images, tmp_path):
    done = command('calibrate', model, '--images', images, '--method', 'minmax')
    assert done.returncode == 0, done.stderr
    assert 'warning: only 4 images' in done.stderr
    file = tmp_path / 'net.calibration.json'
    first = file.read_bytes()
    assert json.loads(first)['images']['count'] == 4
    assert command('calibrate', model, '--export', 'cache', '--quiet').returncode == 0
    cache = parse_calibration_text((tmp_path / 'cache').read_bytes(), 'cache')
    assert (cache.version, cache.algorithm) == ('100300', 'MinMaxCalibration')
    assert len(cache.scales) == len(json.loads(first)['tensors'])
    done = command('calibrate', model, '--import', 'cache')
    assert done.returncode == 0, done.stderr
    imported = json.loads(file.read_text())
    assert imported['method'] == 'imported'
    for name, entry in json.loads(first)['tensors'].items():
        assert imported['tensors'][name]['range'] == pytest.approx(entry['range'], rel=1e-6)


def write_film(path, pictures):
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (128, 96))
    for picture in pictures:
        film.write(picture)
    film.release()


def write_recording(path, pictures):
    types = get_typestore(Stores.ROS2_JAZZY)
    kind = 'sensor_msgs/msg/Image'
    with BagWriter(path) as bag:
        bag.add_topic('/camera/image', kind)
        for number, picture in enumerate(pictures):
            stamp = types.types['builtin_interfaces/msg/Time'](number, 0)
            header = types.types['std_msgs/msg/Header'](stamp, 'camera')
            message = types.types[kind](header, 96, 128, 'bgr8', 0, 384, picture.ravel())
            bag.write('/camera/image', kind, bytes(types.serialize_cdr(message, kind)), number)


def test_a_film_and_a_recording(command, model, images, tmp_path):
    pictures = [cv2.imread(str(path)) for path in sorted(images.iterdir())]
    write_film(tmp_path / 'film.avi', pictures)
    write_recording(tmp_path / 'bag', pictures)
    found = {}
    for source in (images, 'film.avi', 'bag'):
        done = command('calibrate', model, '--images', source, '--method', 'minmax')
        assert done.returncode == 0, done.stderr
        content = json.loads((tmp_path / 'net.calibration.json').read_text())
        assert content['images']['count'] == len(pictures)
        found[str(source)] = content
    assert found['bag']['tensors'] == found[str(images)]['tensors']
    assert found['bag']['images']['hashes'] == found[str(images)]['images']['hashes']
    assert found['film.avi']['images']['source'] == 'film.avi'


def test_limit_and_output_file(command, model, images, tmp_path):
    done = command('calibrate', model, '--images', images, '--limit', 2, '-o', 'x.json', '-q')
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'x.json').read_text())['images']['count'] == 2
    assert 'x.json: ' in done.stdout


def test_mostly_unreadable_images_are_refused(command, model, images):
    for number in range(5):
        (images / f'broken{number}.png').write_bytes(b'nothing')
    done = command('calibrate', model, '--images', images)
    assert done.returncode == 2
    assert '5 of 9 images cannot be read' in done.stderr


def test_foreign_caches_and_files_are_refused(command, model, tmp_path):
    (tmp_path / 'cache').write_bytes(b'TRT-100300-EntropyCalibration2\nother: 3c010a14\n')
    done = command('calibrate', model, '--import', 'cache')
    assert done.returncode == 2
    assert 'the cache knows none' in done.stderr
    done = command('calibrate', model, '--import', 'missing')
    assert 'missing: cannot be read' in done.stderr
    done = command('calibrate', model, '--export', 'cache')
    assert 'no calibration yet' in done.stderr


def test_the_street_is_a_source(command, model, tmp_path):
    done = command('calibrate', model, '--images', 'synthetic:calibration', '--limit', 2, '-q')
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'net.calibration.json').read_text())['images']
    assert (found['source'], found['count']) == ('synthetic:calibration', 2)
