"""`trt_perception top` hears nodes in other processes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import write_detect
from nodes.graph import Camera, bgr_image
from nodes.scenes import scene, three_boxes

PICTURE = bgr_image(scene(320, 240, *three_boxes(320, 240)))


def top(graph, *arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ['trt_perception', 'top', *arguments],
        capture_output=True,
        text=True,
        env=graph.environment,
        timeout=60,
    )


def test_nobody_is_said_with_a_remedy_and_status_1(graph):
    elsewhere = {**graph.environment, 'ROS_DOMAIN_ID': '101'}
    done = subprocess.run(
        ['trt_perception', 'top', '--once', '--wait', '1'],
        capture_output=True,
        text=True,
        env=elsewhere,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert 'ROS_DOMAIN_ID' in done.stdout


def test_nodes_and_cameras_are_shown_once_and_live(graph, tmp_path):
    parameters = {
        'model': str(write_detect(tmp_path)),
        'cameras': ['front', 'left'],
        'stale_after': 1.0,
    }
    with graph.running('detect_node', 'rig', parameters) as node:
        node.wait_state('active')
        camera = Camera(graph, '/front/image').matched()
        answers = graph.collect(Detection2DArray, node.topic('front/detections'))
        for _ in range(3):
            camera.show(PICTURE, answers)
        node.stats(lambda stats: stats.frames_out >= 3)
        done = top(graph, '--once')
        assert done.returncode == 0, done.stderr
        rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
        assert {'node', '/rig', 'front', 'left'} <= set(rows)
        assert 'colours_detect  fp32       onnxruntime-cpu' in rows['/rig']
        assert re.search(r'\d+% +\d+ MiB', rows['/rig']), 'CPU and RSS'
        assert len(re.findall(r'[\d.]+ ms', rows['front'])) == 3, 'p50, p99, age'
        assert rows['left'].count(' ms') == 0
        assert 'STALE' in rows['left']
        assert re.search(r'STALE  /rig left: .*/left/image', done.stdout)
        shown = on_a_terminal(graph, signal.SIGINT)
        assert shown.count('trt_perception top') >= 2, 'it is drawn again and again'
        assert 'colours_detect' in shown
        assert 'Traceback' not in shown
        answers.close()
        camera.close()
        assert node.change('deactivate')
        rows = {line.split()[0]: line for line in top(graph, '--once').stdout.splitlines() if line}
        assert rows['/rig'].split()[1] == 'inactive'
        assert rows['left'].split()[1] == '-', 'what was said while it was active is over'


def on_a_terminal(graph, number: int) -> str:
    """What a terminal gets until the nodes have been drawn twice; then a signal ends it well."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ['trt_perception', 'top'],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**graph.environment, 'TERM': 'xterm', 'COLUMNS': '200', 'LINES': '40'},
    )
    os.close(theirs)
    shown, sent = '', False
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 65536).decode(errors='replace'):
            shown += part
            if shown.count('colours_detect') >= 2 and not sent:
                process.send_signal(number)
                sent = True
    os.close(ours)
    assert process.wait(20) == 0, shown
    return shown
