"""What the core logs, in a process of its own: the loggers of Python and ROS are the process's."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from nodes.logged import logged

PROGRAM = """
import logging, threading
from trt_perception.nodes.core_log import core_log_of
from trt_perception.nodes.plain_logger import PlainLogger

log = logging.getLogger('trt_perception.sources.camera')

def speak():
    {statement}

with core_log_of(PlainLogger('camera_node')):
    thread = threading.Thread(target=speak)
    thread.start()
    thread.join()
    logging.getLogger('another').warning('of another')
log.warning('of nobody')
log.info('and too little')
"""


def said(statement: str) -> tuple[list[str], list[str]]:
    """The lines of the node, and those of Python's logging."""
    form = '{severity} {name} {function_name}: {message}'
    return logged(PROGRAM.format(statement=statement), form)


def test_what_nobody_says_is_not_logged_and_others_keep_their_way():
    assert said('pass') == ([], ['of another', 'of nobody'])


@pytest.mark.parametrize(
    ('statement', 'line'),
    [
        ("log.info('%s of %d', 'one', 2)", 'INFO camera_node speak: one of 2'),
        ("log.warning('the camera is back')", 'WARN camera_node speak: the camera is back'),
        ("log.error('lost')", 'ERROR camera_node speak: lost'),
        ("log.critical('over')", 'FATAL camera_node speak: over'),
        ("log.log(35, 'between')", 'WARN camera_node speak: between'),
    ],
)
def test_a_line_of_the_core_is_one_of_the_node(statement, line):
    assert said(statement)[0] == [line]


def test_what_the_node_would_not_log_is_left_out():
    assert said("log.debug('every frame')")[0] == []


def test_a_fault_has_its_trace():
    lines, _ = said("try: 1 / 0\n    except ZeroDivisionError: log.exception('the source failed')")
    assert lines[0] == 'ERROR camera_node speak: the source failed'
    assert lines[1].startswith('Traceback')
    assert lines[-1] == 'ZeroDivisionError: division by zero'


def test_a_file_name_of_another_encoding_is_told():
    lines, errors = said("log.warning('%s: skipped', 'caf' + chr(0xdce9) + '.png')")
    assert lines == ['WARN camera_node speak: caf\\udce9.png: skipped']
    assert errors == ['of another', 'of nobody']


def test_a_line_that_cannot_be_made_harms_nobody():
    lines, errors = said("log.warning('%d', 'x'); log.warning('and on')")
    assert lines == ['WARN camera_node speak: and on']
    assert 'TypeError: %d format' in ' '.join(errors)


def test_a_source_that_is_not_there_is_said_by_the_node(graph):
    parameters = {'source': '/no/such/street.mp4'}
    with graph.running('camera_node', 'unplugged', parameters) as node:
        words = '[unplugged]: /no/such/street.mp4: no such file'
        graph.wait_for(lambda: words in node.output(), 'the line')
        [line] = [line for line in node.output().splitlines() if words in line]
        assert line.startswith('[ERROR] [')
