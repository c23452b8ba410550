"""`trt_perception detect`, in a process of its own, over real files."""

import json
import os
import signal
import subprocess
import time

import cv2
import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from trt_perception.cli.coco_rle import decode_mask
from trt_perception.sources.bag_writer import BagWriter


def results(folder):
    return json.loads((folder / 'detections.json').read_text(encoding='utf-8'))


def frames_in(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def test_an_empty_folder_is_one_clear_line(command, detector, tmp_path):
    (tmp_path / 'empty').mkdir()
    done = command('detect', 'empty', '--model', detector)
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.startswith('trt_perception: empty: no images in this folder')
    assert len(done.stderr.splitlines()) == 1


def test_an_image_gives_json_and_a_picture(command, detector, image, tmp_path):
    done = command('detect', image, '--model', detector, '--out', 'found')
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / 'found')
    assert (found['format'], found['version']) == ('trt_perception.detections', 1)
    assert found['model']['classes'] == ['car', 'dog']
    assert found['backend'].startswith('onnxruntime')
    (frame,) = found['frames']
    assert (frame['name'], frame['width'], frame['height']) == ('street', 320, 240)
    car, dog = frame['detections']
    assert (car['class'], car['class_id'], car['score']) == ('car', 0, 0.9)
    # 64x48 to 320x240 is a factor of 5: centre (32, 24), size 16x8.
    assert car['box'] == pytest.approx([120, 100, 200, 140], abs=0.5)
    assert dog['class'] == 'dog'
    picture = cv2.imread(str(tmp_path / 'found' / 'pictures' / 'street.jpg'))
    assert picture.shape == (240, 320, 3)
    assert np.abs(picture.astype(int) - 90).max() > 60
    assert found['summary']['frames'] == 1
    assert found['summary']['skipped'] == {}
    assert set(found['summary']['stages_ms']) >= {'convert', 'preprocess', 'infer', 'decode'}
    assert 'frames 1, skipped 0' in done.stdout


def test_thresholds_and_classes_are_applied(command, detector, image, tmp_path):
    command('detect', image, '--model', detector, '--out', 'a', '--score', '0.6', '-q')
    assert [d['class'] for d in results(tmp_path / 'a')['frames'][0]['detections']] == ['car']
    command('detect', image, '--model', detector, '--out', 'b', '--classes', 'dog', '-q')
    found = results(tmp_path / 'b')
    assert [d['class'] for d in found['frames'][0]['detections']] == ['dog']
    assert found['settings']['classes'] == ['dog']
    command('detect', image, '--model', detector, '--out', 'c', '--max-detections', '1', '-q')
    assert len(results(tmp_path / 'c')['frames'][0]['detections']) == 1


def test_a_folder_skips_what_it_cannot_read(command, detector, image, tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for name in ('a.png', 'a.bmp', 'b.png'):
        cv2.imwrite(str(folder / name), cv2.imread(str(image)))
    (folder / 'c.jpg').write_bytes(b'garbage')
    done = command('detect', folder, '--model', detector, '--out', 'found')
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / 'found')
    assert sorted(f['name'] for f in found['frames']) == ['a', 'a_2', 'b']
    assert found['summary']['skipped'] == {'unreadable': 1}
    assert 'skipped 1 (unreadable 1)' in done.stdout
    assert len(list((tmp_path / 'found' / 'pictures').iterdir())) == 3


def test_a_video_gives_a_video(command, detector, video, tmp_path):
    done = command('detect', video(12), '--model', detector, '--out', 'found', '--limit', '7')
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / 'found')
    assert [f['stamp_ns'] for f in found['frames']] == [n * 50_000_000 for n in range(7)]
    assert frames_in(tmp_path / 'found' / 'overlay.mp4') == 7
    assert cv2.imread(str(tmp_path / 'found' / 'overlay.png')).shape == (240, 320, 3)
    assert not (tmp_path / 'found' / 'pictures').exists()


def test_without_pictures_there_is_only_json(command, detector, video, tmp_path):
    done = command('detect', video(3), '-m', detector, '-o', 'found', '--no-pictures', '--quiet')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert [p.name for p in (tmp_path / 'found').iterdir()] == ['detections.json']


def test_instance_masks_are_run_lengths(command, segmenter, image, tmp_path):
    done = command('detect', image, '--model', segmenter, '--out', 'found')
    assert done.returncode == 0, done.stderr
    (car,) = results(tmp_path / 'found')['frames'][0]['detections']
    mask = decode_mask(car['mask'])
    assert mask.shape == (240, 320)
    # The left half of the image, within the box 120..200 x 100..140.
    assert mask[110:130, 125:150].all()
    assert not mask[:, 170:].any()
    assert not mask[:95].any()
    assert not mask[145:].any()


def test_semantic_models_leave_masks_and_shares(command, semantic, image, tmp_path):
    done = command('detect', image, '--model', semantic, '--out', 'found')
    assert done.returncode == 0, done.stderr
    (frame,) = results(tmp_path / 'found')['frames']
    assert frame['class_shares'] == pytest.approx({'road': 0.5, 'sky': 0.5}, abs=0.02)
    mask = cv2.imread(str(tmp_path / 'found' / frame['mask_file']), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (240, 320)
    assert (mask[10, 10], mask[230, 10]) == (1, 0)


@pytest.fixture
def write_bag(tmp_path):
    """Writes a bag of 64x48 images, each of an encoding and so many bytes too short."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    kind = 'sensor_msgs/msg/Image'

    def write(name, images):
        with BagWriter(tmp_path / name) as writer:
            for number, (encoding, missing) in enumerate(images):
                stamp = types['builtin_interfaces/msg/Time'](50, number)
                header = types['std_msgs/msg/Header'](stamp, 'left_optical')
                data = np.full(64 * 48 * 3 - missing, 70, np.uint8)
                message = types[kind](header, 48, 64, encoding, 0, 64 * 3, data)
                cdr = bytes(store.serialize_cdr(message, kind))
                writer.write('/image', kind, cdr, number * 100_000_000)
        return tmp_path / name

    return write


def test_a_bad_frame_is_counted_and_the_next_one_served(command, detector, write_bag, tmp_path):
    bag = write_bag('drive', [('rgb8', 0), ('rgb8', 1000), ('rgb8', 0)])
    done = command('detect', bag, '--model', detector, '--out', 'found')
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / 'found')
    first, bad, last = found['frames']
    assert (first['stamp_ns'], first['frame_id']) == (50 * 10**9, 'left_optical')
    assert bad['error']['cause'] == 'short_data'
    assert len(last['detections']) == 2
    assert found['summary']['skipped'] == {'short_data': 1}
    assert 'skipped 1 (short_data 1)' in done.stdout


def test_if_no_frame_works_the_status_says_so(command, detector, write_bag, tmp_path):
    bag = write_bag('bad', [('cmyk', 0)])
    done = command('detect', bag, '--model', detector, '--out', 'none')
    assert done.returncode == 1
    assert results(tmp_path / 'none')['summary']['skipped'] == {'unknown_encoding': 1}


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        (['nowhere.mp4', '-m', 'detector.yaml'], 'nowhere.mp4: no such file'),
        (['street.png', '-m', 'no_such_model'], "no model 'no_such_model'"),
        (['street.png', '-m', 'gone.yaml'], 'gone.yaml: no such model file'),
        (['street.png', '-m', 'detector.yaml', '--classes', 'cart'], "did you mean 'car'"),
        (['street.png', '-m', 'detector.yaml', '--backend', 'abacus'], "backend 'abacus'"),
        (['street.png', '-m', 'detector.yaml', '--score', '1.5'], 'from 0 to 1'),
        (['street.png', '-m', 'detector.yaml', '--size', 'big'], '1280x720'),
        (['street.png', '-m', 'detector.yaml', '--limit', '0'], 'at least 1'),
        (['street.png', '-m', 'detector.yaml', '-o', 'street.png/x'], 'cannot be written'),
    ],
)
def test_errors_are_one_line_and_status_2(command, detector, image, tmp_path, arguments, says):
    done = command('detect', *arguments, TRT_PERCEPTION_MODELS=str(tmp_path))
    assert done.returncode == 2
    assert says in done.stderr
    assert 'Traceback' not in done.stderr


def test_ctrl_c_leaves_valid_results(detector, video, tmp_path, command):
    path = video(4000)
    process = subprocess.Popen(
        [*command.line, 'detect', str(path), '-m', str(detector), '-o', 'found', '--no-pictures'],
        cwd=tmp_path,
        env=command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    part = tmp_path / 'found' / 'detections.json.part'
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > 10_000):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'Traceback' not in errors
    found = results(tmp_path / 'found')
    assert found['summary']['interrupted'] is True
    assert 1 <= len(found['frames']) == found['summary']['frames'] < 4000
    assert not part.exists()


def test_the_street_is_an_input(command, detector, tmp_path):
    done = command(
        'detect',
        'synthetic:test',
        '-m',
        detector,
        '-o',
        'found',
        '--limit',
        '2',
        '--size',
        '128x96',
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / 'found' / 'pictures').iterdir())) == 2
    done = command('detect', 'synthetic:7', '-m', detector, '-o', 'moving', '--limit', '3')
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / 'moving')
    assert [f['stamp_ns'] for f in found['frames']] == [0, 100_000_000, 200_000_000]
    assert frames_in(tmp_path / 'moving' / 'overlay.mp4') == 3


def test_only_an_endless_street_is_limited(command, detector, tmp_path):
    folder = tmp_path / 'synthetic_pictures'
    folder.mkdir()
    for number in range(101):
        cv2.imwrite(str(folder / f'{number}.png'), np.zeros((4, 4, 3), np.uint8))
    done = command('detect', folder.name, '--model', detector, '--no-pictures', '--out', 'found')
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path / 'found')['frames']) == 101


def test_names_that_are_not_text_are_escaped(command, detector, image, tmp_path):
    odd = os.fsdecode(b'caf\xe9')
    image.rename(tmp_path / f'{odd}.png')
    done = command('detect', f'{odd}.png', '--model', detector, '--out', odd)
    assert done.returncode == 0, done.stderr
    (frame,) = results(tmp_path / odd)['frames']
    assert frame['name'] == odd
    assert (tmp_path / odd / 'pictures' / f'{odd}.jpg').is_file()
    assert 'results in caf\\udce9' in done.stdout


@pytest.mark.parametrize('closed', ['<&-', '>&-', '2>&-'])
def test_no_stream_is_needed(command, detector, image, closed):
    line = [*command.line, 'detect', str(image), '--model', str(detector)]
    script = ['sh', '-c', f'exec "$@" {closed}', 'sh', *line]
    done = subprocess.run(
        script, capture_output=True, text=True, cwd=image.parent, env=command.environment
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert len(results(image.parent / 'out' / 'detect')['frames']) == 1


@pytest.mark.parametrize('classes', ['', ' , '])
def test_a_class_filter_without_names_is_refused(command, detector, image, classes):
    done = command('detect', image, '--model', detector, '--classes', classes)
    assert done.returncode == 2
    assert 'names no class; leave it out to keep all of them: car, dog' in done.stderr
