"""`trt_perception top` hears nodes in other processes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Callable

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from vision_msgs.msg import Detection2DArray

from nodes.colour_networks import write_detect
from nodes.graph import Camera, bgr_image
from nodes.scenes import scene, three_boxes
from trt_perception.msg import PipelineStats

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


def test_reports_of_another_program_that_make_no_sense_are_shown_as_far_as_they_do(graph):
    stranger = rclpy.create_node('stranger', context=graph.context)
    stats = stranger.create_publisher(PipelineStats, '~/stats', 1)
    diagnostics = stranger.create_publisher(DiagnosticArray, '/diagnostics', 1)
    value = KeyValue(key='since the newest result', value='soon')
    status = DiagnosticStatus(name='stranger: perception', values=[value])

    def report() -> None:
        stats.publish(PipelineStats(model='theirs', drop_causes=['odd', 'older'], drop_counts=[1]))
        diagnostics.publish(DiagnosticArray(status=[status]))

    try:
        with repeated(report):
            done = top(graph, '--once')
    finally:
        stranger.destroy_node()
    assert done.returncode == 0, done.stderr
    assert 'theirs' in rows_of(done)['/stranger']


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
        with repeated(lambda: camera.publish(PICTURE)):
            done = top(graph, '--once')
        assert done.returncode == 0, done.stderr
        rows = rows_of(done)
        assert {'node', '/rig', 'front', 'left'} <= set(rows)
        assert 'colours_detect  fp32       onnxruntime-cpu' in rows['/rig']
        assert re.search(r'\d+% +\d+ MiB', rows['/rig']), 'CPU and RSS'
        assert len(re.findall(r'[\d.]+ ms', rows['front'])) == 3, 'p50, p99, age'
        assert rows['left'].count(' ms') == 0
        assert 'STALE' in rows['left']
        assert re.search(r'STALE  /rig left: .*/left/image', done.stdout)
        assert done.stdout.count('no image on /left') == 1, 'not for the node again'
        node.enable(False)
        before = node.stats().frames_dropped
        camera.publish(PICTURE)
        node.stats(lambda stats: 'paused' in stats.drop_causes)
        shown = on_a_terminal(graph, signal.SIGINT)
        assert shown.count('trt_perception top') >= 2, 'it is drawn again and again'
        assert 'colours_detect' in shown
        assert 'Traceback' not in shown
        answers.close()
        graph.wait_for(lambda: long_ago(node), 'five seconds without a result')
        rows = rows_of(top(graph, '--once'))
        assert rows['/rig'].split()[1] == 'paused'
        assert rows['front'].split()[1:4] == ['paused', '0.0', 'Hz']
        assert rows['front'].split()[4] == str(before), 'a pause drops nothing'
        assert len(re.findall(r'[\d.]+ ms', rows['front'])) == 0, 'p50 and p99 are of long ago'
        assert re.search(r'[\d.]+ s ', rows['front']), 'as the age says'
        camera.close()
        assert node.change('deactivate')
        rows = rows_of(top(graph, '--once'))
        assert rows['/rig'].split()[1] == 'inactive'
        assert rows['left'].split()[1] == '-', 'what was said while it was active is over'


def rows_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The lines of a table by their first words."""
    return {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}


def long_ago(node) -> bool:
    values = {value.key: value.value for value in node.diagnostics().values}
    return float(values['since the newest result'].split()[0]) > 5


@contextlib.contextmanager
def repeated(publish: Callable[[], object]):
    """Something is published five times a second."""
    enough = threading.Event()

    def go_on() -> None:
        while not enough.wait(0.2):
            publish()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


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
