"""Lines of the log, in processes of their own: what is imported there counts."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from nodes.logged import logged

PROGRAM = """
import inspect
from trt_perception.nodes.plain_logger import PlainLogger

def fail(*_, **__):
    raise AssertionError('all modules were searched')

logger = PlainLogger('camera')

def speaks():
    {statement}

if {plain}:
    inspect.getmodule = fail
speaks()
speaks()
"""


def said(statement: str, *, plain: bool = True) -> list[str]:
    """The lines that a function prints which is called twice."""
    form = '{severity} {name} {function_name}:{line_number} {message}'
    return logged(PROGRAM.format(statement=statement, plain=plain), form)[0]


@pytest.mark.parametrize(
    ('method', 'severity'),
    [('info', 'INFO'), ('warning', 'WARN'), ('warn', 'WARN'), ('error', 'ERROR')],
)
def test_a_line_names_who_logged_it_without_a_search(method, severity):
    line = f'{severity} camera speaks:11 lens cap'
    assert said(f"logger.{method}('lens cap')") == [line, line]


def test_what_is_below_the_level_is_not_logged():
    assert said("print(logger.debug('lens cap'))") == ['False', 'False']


def test_a_line_with_a_filter_is_logged_as_by_rclpy():
    lines = said("logger.info('lens cap', once=True)", plain=False)
    assert [line.rpartition(' speaks:')[2].partition(' ')[2] for line in lines] == ['lens cap']


@pytest.mark.parametrize('filters', ['', ', once=True'])
def test_a_file_name_of_another_encoding_is_logged(filters):
    lines = said(f"logger.warning('caf' + chr(0xdce9){filters})", plain=not filters)
    assert lines
    assert all(line.endswith('caf\\udce9') for line in lines)
