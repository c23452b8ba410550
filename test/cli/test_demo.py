"""The demonstration, with small known networks in place of the trained ones."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

FRAMES = 12
COMMAND = 'import sys; from trt_perception.cli.main import main; sys.exit(main())'


def run_without(module: str, *arguments: str) -> subprocess.CompletedProcess:
    code = f'import sys; sys.modules[{module!r}] = None\n{COMMAND}'
    return subprocess.run(
        [sys.executable, '-c', code, 'demo', *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> str:
    from nodes.colour_networks import write_detect, write_instance, write_semantic

    folder = tmp_path_factory.mktemp('models')
    return ','.join(str(write(folder)) for write in (write_detect, write_instance, write_semantic))


@pytest.fixture(scope='module')
def picture(tmp_path_factory) -> Path:
    from nodes.scenes import scene, three_boxes

    path = tmp_path_factory.mktemp('source') / 'boxes.png'
    cv2.imwrite(str(path), scene(320, 240, *three_boxes(320, 240)))
    return path


@pytest.fixture(scope='module')
def arguments(models: str, picture: Path) -> list[str]:
    pytest.importorskip('rclpy', reason='needs ROS 2: make test')
    return [
        '--frames', str(FRAMES), '--rate', '5', '--size', '320x240', '--models', models,
        '--source', str(picture),
    ]  # fmt: skip


@pytest.fixture(scope='module')
def finished(arguments: list[str], tmp_path_factory) -> tuple[Path, str]:
    """The results' folder and what was printed."""
    out = tmp_path_factory.mktemp('demo') / 'out'
    (out / 'bag').mkdir(parents=True)
    (out / 'bag' / 'of_an_earlier_run').touch()
    done = subprocess.run(
        [sys.executable, '-c', COMMAND, 'demo', *arguments, '--out', str(out)],
        capture_output=True,
        text=True,
        cwd=out.parent,  # not in a checkout, which has no built messages
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout


class Running:
    """A demonstration that runs, to be disturbed."""

    def __init__(self, arguments: list[str], out: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-c', COMMAND, 'demo', *arguments, '--frames', '500', '--out', out],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=out.parent,
            # What is killed leaves its shared memory behind: here there is none.
            env=os.environ | {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'},
        )

    def node(self, name: str) -> psutil.Process:
        """The process of a node, once it is there."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for child in psutil.Process(self.process.pid).children():
                if any(f'__node:={name}' in word for word in child.cmdline()):
                    return child
            time.sleep(0.05)
        raise AssertionError(f'{name} never started')

    def ended(self) -> tuple[int, str]:
        """Exit status and what was printed to stderr, once it has ended."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture
def running(arguments: list[str], tmp_path: Path):
    started: list[Running] = []

    def start(*more: str) -> Running:
        started.append(Running([*arguments, *more], tmp_path / 'out'))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def test_without_ros_one_line_says_what_to_do(models: str, tmp_path: Path):
    done = run_without('rclpy', '--models', models, '--out', str(tmp_path))
    assert done.returncode == 2
    assert re.fullmatch(r'trt_perception: demo: ROS 2 is missing here.*make demo.*\n', done.stderr)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda m: m.split(',')[0], 'name three'),
        (lambda m: ','.join(reversed(m.split(','))), 'does semantic, where detect is needed'),
        (lambda m: 'no_such,' + m.split(',', 1)[1], "no model 'no_such'"),
    ],
)
def test_wrong_models_are_refused_at_once(models: str, tmp_path: Path, change, words: str):
    done = run_without('nothing', '--models', change(models), '--out', str(tmp_path))
    assert done.returncode == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_node_is_in_the_table(finished: tuple[Path, str]):
    _, printed = finished
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if '_node  ' in line}
    assert list(rows) == [
        'camera_node', 'detect_node', 'instance_node', 'semantic_node', 'overlay_node',
    ]  # fmt: skip
    assert rows['camera_node'][1:4] == [str(FRAMES), str(FRAMES), '0']
    for row in rows.values():
        entered, processed, dropped, lost = (int(cell) for cell in row[1:5])
        assert processed + dropped == entered
        assert entered + lost == FRAMES
        assert processed > 0
        assert float(row[5]) > 0
    stages = set(re.findall(r'(\w+) +[\d.]+ +[\d.]+$', printed, re.MULTILINE))
    assert {'read', 'preprocess', 'infer', 'decode', 'draw', 'publish', 'total'} <= stages
    assert 'onnxruntime' in printed


def test_the_picture_shows_what_was_found(finished: tuple[Path, str]):
    out, _ = finished
    picture = cv2.imread(str(out / 'overlay.png'))
    assert picture.shape == (240, 320, 3)
    plain = np.full(3, 90)
    assert (picture[5:200, 100:170] == plain).all(axis=2).mean() < 1
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_the_video_plays(finished: tuple[Path, str]):
    out, _ = finished
    video = cv2.VideoCapture(str(out / 'overlay.mp4'))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == overlay_count(finished[1])
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(5)


def overlay_count(printed: str) -> int:
    [row] = [line for line in printed.splitlines() if line.startswith('overlay_node  ')]
    return int(row.split()[2])


def test_the_json_holds_every_frame(finished: tuple[Path, str]):
    out, _ = finished
    document = json.loads((out / 'detections.json').read_text())
    assert document['model']['classes'] == ['red', 'green', 'blue']
    assert len(document['frames']) == document['summary']['frames'] > 0
    for frame in document['frames']:
        assert [d['class'] for d in frame['detections']] == ['red', 'green', 'blue']
        assert frame['detections'][0]['box'] == pytest.approx([12, 14, 96, 108], abs=2)


def test_the_bag_holds_images_detections_and_masks(finished: tuple[Path, str]):
    from rosbags.rosbag2 import Reader

    out, _ = finished
    assert not (out / 'bag' / 'of_an_earlier_run').exists()
    assert (out / 'bag' / 'metadata.yaml').is_file()
    with Reader(out / 'bag') as bag:
        counts = {c.topic: (c.msgtype, c.msgcount) for c in bag.connections}
    frames = [
        ('/image/compressed', 'sensor_msgs/msg/CompressedImage'),
        ('/camera_info', 'sensor_msgs/msg/CameraInfo'),
        ('/detect_node/detections', 'vision_msgs/msg/Detection2DArray'),
        ('/instance_node/detections', 'vision_msgs/msg/Detection2DArray'),
        ('/instance_node/mask', 'sensor_msgs/msg/Image'),
        ('/semantic_node/mask', 'sensor_msgs/msg/Image'),
    ]
    for topic, kind in frames:
        assert counts[topic][0] == kind
        assert counts[topic][1] > FRAMES // 2, topic
    for node in ('detect_node', 'instance_node', 'semantic_node'):
        assert counts[f'/{node}/label_info'] == ('vision_msgs/msg/LabelInfo', 1)


def test_the_bag_is_a_source_of_images(finished: tuple[Path, str]):
    from trt_perception.preprocessing.colour import to_bgr
    from trt_perception.sources.opening import open_source

    out, _ = finished
    with open_source(str(out / 'bag'), topic='/image/compressed') as source:
        image = to_bgr(next(iter(source)))
    assert image.shape == (240, 320, 3)
    assert np.abs(image[120, 200].astype(int) - 90).max() < 12


def test_a_node_that_dies_is_named(running, tmp_path: Path):
    demo = running()
    node = demo.node('semantic_node')
    others = psutil.Process(demo.process.pid).children()
    node.kill()
    status, errors = demo.ended()
    assert status == 1
    assert 'semantic_node ended by itself by signal SIGKILL' in errors
    assert 'Traceback' not in errors
    _, alive = psutil.wait_procs(others, timeout=10)
    assert not alive


def test_a_source_that_is_not_there_is_told_before_anything_starts(models: str, tmp_path: Path):
    (tmp_path / 'overlay.png').touch()
    more = ['--models', models, '--out', str(tmp_path), '--source', '/no/such/video.mp4']
    done = run_without('rclpy', *more)
    assert done.returncode == 2
    assert '/no/such/video.mp4: no such file or folder' in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ['overlay.png']


def test_ctrl_c_ends_everything(running):
    demo = running()
    nodes = [demo.node(name) for name in ('camera_node', 'overlay_node')]
    demo.process.send_signal(signal.SIGINT)
    status, errors = demo.ended()
    assert status == 130
    assert 'Traceback' not in errors
    gone, alive = psutil.wait_procs(nodes, timeout=10)
    assert len(gone) == 2, alive
