"""`trt_perception replay` over real bags."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import onnx
import psutil
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from trt_perception.cli.main import main
from trt_perception.replaying import plan
from trt_perception.replaying.part_work import TRACKS, PartWork
from trt_perception.replaying.parts_folder import folder_of, read_run
from trt_perception.sources.bag_writer import BagWriter

IMAGE, JPEG = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
START_NS = 1_700_000_000 * 10**9
STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types


def header(number, frame_id='left_optical'):
    """Stamps lie 5 ms before the time of recording."""
    stamp_ns = START_NS + number * 100_000_000 - 5_000_000
    stamp = TYPES['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9))
    return TYPES['std_msgs/msg/Header'](stamp, frame_id)


def picture(number, encoding='bgr8', missing=0):
    data = np.full(64 * 48 * 3 - missing, number % 256, np.uint8)
    return TYPES[IMAGE](header(number), 48, 64, encoding, 0, 64 * 3, data)


def jpeg(number):
    data = cv2.imencode('.jpg', np.full((48, 64, 3), number, np.uint8))[1].reshape(-1)
    return TYPES[JPEG](header(number), 'jpeg', data)


def write(path, topics):
    """A bag of {topic: [message or bytes of an image message, ...]}, 10 a second."""
    with BagWriter(path) as writer:
        for topic, messages in topics.items():
            for number, message in enumerate(messages):
                is_bytes = isinstance(message, bytes)
                kind = IMAGE if is_bytes else message.__msgtype__
                cdr = message if is_bytes else bytes(STORE.serialize_cdr(message, kind))
                writer.write(topic, kind, cdr, START_NS + number * 100_000_000)
    return path


@pytest.fixture
def bag(tmp_path):
    return write(tmp_path / 'drive', {'/image': [picture(n) for n in range(5)]})


@pytest.fixture
def replay(tmp_path, monkeypatch):
    """Runs the command in this process, with one more unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, out='out', jobs=1):
        line = ['replay', *map(str, arguments), '--out', str(out), '--jobs', str(jobs)]
        return main(line)

    return run


def messages(path):
    """Topic, time and message of all, each with the bytes that rosbags gives it.

    rclpy leaves what happens to be in memory where CDR has padding.
    """
    with AnyReader([path]) as reader:
        return [
            (c.topic, t, bytes(reader.typestore.serialize_cdr(m, c.msgtype)))
            for c, t, raw in reader.messages()
            for m in [reader.deserialize(raw, c.msgtype)]
        ]


def by_topic(path):
    """The messages of each topic with their times."""
    found = {}
    with AnyReader([path]) as reader:
        for connection, time_ns, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            found.setdefault(connection.topic, []).append((time_ns, message))
    return found


def stamp_of(header):
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def test_a_topic_without_messages_is_refused(replay, detector, tmp_path, capsys):
    with BagWriter(tmp_path / 'empty') as writer:
        writer.add_topic('/image', IMAGE)
    assert replay('empty', '-m', detector) == 2
    assert '/image has no message' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_every_bag_that_cannot_be_used_is_named_where_none_can(replay, detector, tmp_path, capsys):
    assert replay('nowhere', 'elsewhere', '-m', detector) == 2
    errors = capsys.readouterr().err
    for name in ('nowhere', 'elsewhere'):
        assert f'{tmp_path / name}: there is no such file or folder' in errors


def test_results_are_what_the_node_publishes(replay, detector, bag, tmp_path, capsys):
    assert replay(bag, '-m', detector) == 0
    found = by_topic(tmp_path / 'out')
    detections = found['/detect_node/detections']
    assert [time_ns for time_ns, _ in detections] == [START_NS + n * 10**8 for n in range(5)]
    for (time_ns, message), (_, clock) in zip(detections, found['/clock'], strict=True):
        assert stamp_of(message.header) == time_ns - 5_000_000
        assert message.header.frame_id == 'left_optical'
        assert clock.clock.nanosec == message.header.stamp.nanosec
        car, dog = message.detections
        assert car.results[0].hypothesis.class_id == 'car'
        assert car.results[0].hypothesis.score == pytest.approx(0.9)
        assert (car.bbox.center.position.x, car.bbox.size_x) == pytest.approx((32, 16))
        assert dog.header.frame_id == 'left_optical'
    ((time_ns, labels),) = found['/detect_node/label_info']
    assert [c.class_name for c in labels.class_map] == ['car', 'dog']
    assert (time_ns, stamp_of(labels.header)) == (START_NS, START_NS - 5_000_000)
    ((_, info),) = found['/detect_node/vision_info']
    assert info.database_location == '/detect_node/label_info'
    assert 'onnxruntime-cpu fp32' in info.method
    assert set(found) == {
        '/clock',
        *(f'/detect_node/{name}' for name in ('detections', 'label_info', 'vision_info')),
    }
    with AnyReader([tmp_path / 'out']) as reader:
        latched = {
            c.topic: c.ext.offered_qos_profiles[0].durability.name for c in reader.connections
        }
    assert latched['/detect_node/label_info'] == 'TRANSIENT_LOCAL'
    assert latched['/detect_node/detections'] == 'VOLATILE'
    assert 'times real time' in capsys.readouterr().out
    assert not folder_of(tmp_path / 'out').exists()


def test_masks_come_with_their_detections(replay, segmenter, semantic, bag, tmp_path):
    assert replay(bag, '-m', segmenter, out='instances', jobs=1) == 0
    found = by_topic(tmp_path / 'instances')
    assert len(found['/segment_node/detections']) == len(found['/segment_node/mask']) == 5
    mask = found['/segment_node/mask'][0][1]
    assert (mask.encoding, mask.width, mask.height) == ('mono16', 64, 48)
    assert set(mask.data.view(np.uint16)) == {0, 1}
    assert replay(bag, '-m', semantic, out='classes') == 0
    found = by_topic(tmp_path / 'classes')
    assert set(found) == {'/clock', '/segment_node/mask', '/segment_node/label_info'}
    assert set(found['/segment_node/mask'][0][1].data) == {0, 1}


def test_images_are_copied_as_they_were_if_wanted(replay, detector, tmp_path):
    write(tmp_path / 'drive', {'/image/compressed': [jpeg(n) for n in range(3)]})
    assert replay('drive', '-m', detector, '--with-images') == 0
    copied = [m for m in messages(tmp_path / 'out') if m[0] == '/image/compressed']
    assert copied == messages(tmp_path / 'drive')
    topics = [m[0] for m in messages(tmp_path / 'out')][-3:]
    assert topics == ['/image/compressed', '/clock', '/detect_node/detections']


def test_several_cameras_keep_their_names_and_one_clock(replay, detector, tmp_path, capsys):
    topics = {f'/{name}/image_raw': [picture(n) for n in range(3)] for name in ('front', 'rear')}
    write(tmp_path / 'drive', topics)
    assert replay('drive', '-m', detector) == 2
    assert '2 image topics; choose' in capsys.readouterr().err
    assert replay('drive', '-m', detector, *(w for t in topics for w in ('--topic', t))) == 0
    found = by_topic(tmp_path / 'out')
    assert len(found['/detect_node/front/detections']) == 3
    assert len(found['/detect_node/rear/detections']) == 3
    assert len(found['/detect_node/label_info']) == 1
    clock = [m.clock.sec * 10**9 + m.clock.nanosec for _, m in found['/clock']]
    assert clock == sorted(set(clock))


def test_what_cannot_be_read_is_counted_by_cause(replay, detector, tmp_path, capsys):
    good = picture(0)
    cdr = bytes(STORE.serialize_cdr(good, IMAGE))
    images = [good, picture(1, 'cmyk'), picture(2, missing=1000), cdr[:30], picture(4)]
    write(tmp_path / 'drive', {'/image': images})
    assert replay('drive', '-m', detector) == 0
    assert len(by_topic(tmp_path / 'out')['/detect_node/detections']) == 2
    run = read_run(tmp_path / 'out')
    assert run['frames'] == 2
    assert run['skipped'] == {'unknown_encoding': 1, 'short_data': 1, 'unreadable': 1}
    assert '3 (short_data 1, unknown_encoding 1, unreadable 1)' in capsys.readouterr().out


def test_what_opencv_refuses_is_counted_too(replay, detector, tmp_path, monkeypatch):
    """As a node leaves one such image out and serves the next."""
    convert = cv2.cvtColor

    def refuses_one(image, code):
        if (image == 2).all():
            raise cv2.error('no such conversion')
        return convert(image, code)

    monkeypatch.setattr(cv2, 'cvtColor', refuses_one)
    write(tmp_path / 'drive', {'/image': [picture(number, 'rgb8') for number in range(5)]})
    assert replay('drive', '-m', detector) == 0
    assert len(by_topic(tmp_path / 'out')['/detect_node/detections']) == 4
    assert read_run(tmp_path / 'out')['skipped'] == {'corrupt': 1}


def test_if_no_image_works_the_status_says_so(replay, detector, tmp_path):
    write(tmp_path / 'drive', {'/image': [picture(0, 'cmyk')]})
    assert replay('drive', '-m', detector) == 1
    assert messages(tmp_path / 'out') == []


def test_bags_that_cannot_be_used_do_not_stop_the_others(replay, detector, bag, tmp_path, capsys):
    write(tmp_path / 'talk', {'/chatter': [TYPES['std_msgs/msg/String']('hello')]})
    cut = write(tmp_path / 'cut', {'/image': [picture(n) for n in range(5)]}) / 'cut.mcap'
    cut.write_bytes(cut.read_bytes()[:-50])
    assert replay(bag, 'talk', 'cut', 'nowhere', '-m', detector) == 1
    said = capsys.readouterr().err
    assert 'talk: no image topic' in said
    assert 'mcap recover' in said
    assert 'nowhere: there is no such file' in said
    assert len(by_topic(tmp_path / 'out' / 'drive')['/detect_node/detections']) == 5
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['drive']


def test_damage_costs_only_what_it_hits(replay, detector, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, 'IMAGES_IN_PART', 50)
    bag = write(tmp_path / 'drive', {'/image': [picture(n) for n in range(400)]})
    file = bag / 'drive.mcap'
    content = bytearray(file.read_bytes())
    middle = 2000 + len(content) // 100
    content[middle : middle + 50] = bytes(50)
    file.write_bytes(content)
    assert replay(bag, '-m', detector) == 0
    run = read_run(tmp_path / 'out')
    assert 0 < run['frames'] < 400
    assert run['skipped'] == {'missing': 400 - run['frames']}


def test_a_finished_bag_is_left_alone_and_another_one_never_overwritten(
    replay, detector, bag, tmp_path, capsys
):
    assert replay(bag, '-m', detector) == 0
    before = (tmp_path / 'out' / 'out.mcap').stat()
    assert replay(bag, '-m', detector) == 0
    assert 'was there' in capsys.readouterr().out
    assert replay(bag, '-m', detector, '--score', '0.6') == 2
    assert 'score: 0.25 there, 0.6 now' in capsys.readouterr().err
    assert replay(bag, '-m', detector, out=bag) == 2
    assert 'exists already. Remove it' in capsys.readouterr().err
    assert (tmp_path / 'out' / 'out.mcap').stat() == before


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        (['drive', 'drive'], 'named more than once'),
        (['drive', '--classes', 'cart'], "did you mean 'car'"),
        (['drive', '--topic', '/up'], "no image topic '/up'"),
        (['drive', '--backend', 'abacus'], "backend 'abacus'"),
        (['drive', '--cluster', 'ray'], "pip install 'trt_perception[ray]'"),
    ],
)
def test_errors_are_one_line_and_status_2(
    replay, detector, bag, capsys, monkeypatch, arguments, says
):
    monkeypatch.setitem(sys.modules, 'ray', None)
    assert replay(*arguments, '-m', detector) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1


def test_two_processes_find_what_one_finds_and_in_any_bag(replay, detector, tmp_path):
    for name, count in (('a', 230), ('b', 3)):
        write(tmp_path / name, {'/image': [picture(n) for n in range(count)]})
    assert replay('a', 'b', '-m', detector, out='one', jobs=1) == 0
    assert replay('a', 'b', '-m', detector, out='two', jobs=2) == 0
    for name, count in (('a', 230), ('b', 3)):
        found = messages(tmp_path / 'one' / name)
        assert found == messages(tmp_path / 'two' / name)
        assert [m[0] for m in found].count('/detect_node/detections') == count


def ids(path):
    """Of the objects of each image, in their order; '' for one without."""
    found = by_topic(path)['/detect_node/detections']
    return [[detection.id for detection in message.detections] for _, message in found]


def gapped(tmp_path, count=12):
    """A bag of equal pictures with a pause of ten seconds, after which objects get new ids."""
    images = [picture(n + 100 * (n >= count // 2)) for n in range(count)]
    for image in images:
        image.data[:] = 90
    return write(tmp_path / 'drive', {'/image': images})


def test_objects_keep_their_ids_from_part_to_part(replay, detector, tmp_path, monkeypatch):
    bag = gapped(tmp_path)
    arguments = [bag, '-m', detector, '--tracker', 'bytetrack']
    assert replay(*arguments, out='whole') == 0
    assert replay(bag, '-m', detector, out='plain') == 0
    assert not any(any(found) for found in ids(tmp_path / 'plain'))
    monkeypatch.setattr(plan, 'IMAGES_IN_PART', 3)
    assert replay(*arguments, out='parts', jobs=2) == 0
    found = ids(tmp_path / 'whole')
    assert ids(tmp_path / 'parts') == found
    before, after = found[:6], found[6:]
    assert all(one == before[-1] for one in before[2:])
    assert all(one == after[-1] for one in after[2:])
    assert all(before[-1] + after[-1])
    assert not set(before[-1]) & set(after[-1])


def test_a_stopped_run_goes_on_with_the_objects_it_followed(
    replay, detector, tmp_path, monkeypatch
):
    arguments = [gapped(tmp_path), '-m', detector, '--tracker', 'sort', '--camera-motion', 'flow']
    monkeypatch.setattr(plan, 'IMAGES_IN_PART', 3)
    assert replay(*arguments, out='undisturbed') == 0
    run = PartWork.run

    def stopped(work, tell):
        if work.part.index == 3:
            raise KeyboardInterrupt
        run(work, tell)

    with monkeypatch.context() as patched:
        patched.setattr(PartWork, 'run', stopped)
        assert replay(*arguments) == 130
    assert len(list(tmp_path.glob('out.parts/part_*'))) == 3
    assert replay(*arguments) == 0
    assert messages(tmp_path / 'out') == messages(tmp_path / 'undisturbed')


def test_a_run_with_another_tracker_is_another_run(replay, detector, bag, tmp_path, capsys):
    assert replay(bag, '-m', detector, '--tracker', 'sort') == 0
    assert replay(bag, '-m', detector) == 2
    assert 'tracking' in capsys.readouterr().err
    assert replay(bag, '-m', detector, '--tracker', 'sort', '--track-memory', '1') == 2
    assert replay(bag, '-m', detector, '--tracker', 'sort') == 0


@pytest.mark.parametrize('content', [b'', b'nothing'])
def test_a_part_whose_objects_are_damaged_says_how_to_mend_it(
    replay, detector, tmp_path, monkeypatch, capsys, content
):
    arguments = [gapped(tmp_path), '-m', detector, '--tracker', 'sort']
    monkeypatch.setattr(plan, 'IMAGES_IN_PART', 3)
    run = PartWork.run

    def damaging(work, tell):
        run(work, tell)
        (work.folder / f'part_{work.part.index:06d}' / TRACKS).write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr(PartWork, 'run', damaging)
        assert replay(*arguments) == 2
    assert 'part_000000: this part is damaged' in capsys.readouterr().err


@pytest.mark.parametrize('batch', [2, 7])
def test_batches_find_what_single_images_find(batch, replay, detector, tmp_path):
    images = [picture(n, 'cmyk' if n == 3 else 'bgr8') for n in range(9)]
    write(tmp_path / 'drive', {'/image': images, '/jpeg': [jpeg(n) for n in range(9)]})
    arguments = ['drive', '-m', detector, '--topic', '/image', '--topic', '/jpeg']
    assert replay(*arguments, out='single') == 0
    assert replay(*arguments, '--batch', batch, out='batches') == 0
    assert messages(tmp_path / 'batches') == messages(tmp_path / 'single')
    assert read_run(tmp_path / 'batches')['skipped'] == {'unknown_encoding': 1}


def test_a_batch_that_the_network_does_not_take_is_refused(replay, detector, tmp_path, capsys):
    """Else each batch fails first, and its images are looked at one by one."""
    network = onnx.load(detector.with_suffix('.onnx'))
    network.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(network, str(detector.with_suffix('.onnx')))
    write(tmp_path / 'drive', {'/image': [picture(n) for n in range(3)]})
    assert replay('drive', '-m', detector, '--batch', 4) == 2
    told = capsys.readouterr().err
    assert '--batch 4: detector takes 1 image(s) at once on onnxruntime-cpu' in told
    assert replay('drive', '-m', detector) == 0


def killed_in_the_middle(command, arguments, tmp_path, parts):
    """Starts the command and kills it once so many parts are finished; its processes end too."""
    process = subprocess.Popen(
        [*command.line, 'replay', *map(str, arguments)],
        cwd=tmp_path,
        env=command.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob('out.parts/part_*'))) < parts:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_a_killed_run_goes_on_and_leaves_the_same_bag(command, replay, detector, tmp_path):
    bag = write(tmp_path / 'drive', {'/image': [picture(n) for n in range(600)]})
    arguments = [bag, '-m', detector]
    killed_in_the_middle(command, [*arguments, '-o', 'out', '-j', '2', '-q'], tmp_path, 2)
    assert not (tmp_path / 'out').exists()
    finished = {p.name: p.stat().st_ino for p in tmp_path.glob('out.parts/part_*')}
    assert 2 <= len(finished) < 6
    assert replay(*arguments, jobs=1) == 0
    assert replay(*arguments, out='undisturbed', jobs=1) == 0
    found = messages(tmp_path / 'out')
    assert found == messages(tmp_path / 'undisturbed')
    assert [m[0] for m in found].count('/detect_node/detections') == 600
    assert not folder_of(tmp_path / 'out').exists()


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(command, replay, detector, tmp_path):
    noise = np.random.default_rng(0)
    images = [picture(n) for n in range(150)]
    for image in images:
        image.data = noise.integers(0, 256, image.data.shape, np.uint8)
    bag = write(tmp_path / 'drive', {'/image': images})
    arguments = [bag, '-m', detector, '--with-images']
    done = subprocess.run(
        [*command.line, 'replay', *map(str, arguments), '-o', 'out', '-q', '-j', '1'],
        cwd=tmp_path,
        env=command.environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)),
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f'{tmp_path / "out"}: cannot be written: File too large' in done.stderr
    assert 'the same command goes on' in done.stderr
    assert '.writing' not in done.stderr, 'a folder that is gone by then'
    assert not (tmp_path / 'out').exists()
    assert len(list(tmp_path.glob('out.parts/part_*'))) == 2
    assert replay(*arguments) == 0
    assert len(by_topic(tmp_path / 'out')['/detect_node/detections']) == 150
