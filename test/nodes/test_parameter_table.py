"""The table of parameters: complete, consistent, and the same as the files in config/."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from trt_perception.errors import ParameterError
from trt_perception.nodes.common_parameters import NodeParameters
from trt_perception.nodes.parameter_rows import ANY_TIME, CHANGES, ParameterRow, parameter_rows
from trt_perception.nodes.parameter_table import NODES
from trt_perception.nodes.tracked_parameters import DetectParameters

CONFIG = Path(__file__).resolve().parents[2] / 'config'
ROWS = {row.name: row for row in parameter_rows(DetectParameters)}
ALL_ROWS = [(node, row) for node, kind in NODES.items() for row in parameter_rows(kind)]


@pytest.mark.parametrize(('node', 'row'), ALL_ROWS, ids=lambda v: getattr(v, 'name', v))
def test_every_parameter_is_described_and_its_default_allowed(node: str, row: ParameterRow):
    assert row.description.endswith('.')
    assert row.change in CHANGES
    assert row.allowed
    if row.default is None:
        assert row.unset
    else:
        assert row.convert(row.default) == row.default


@pytest.mark.parametrize('node', NODES)
def test_a_node_s_struct_needs_nothing_to_be_made(node: str):
    assert NODES[node]().autostart is True


@pytest.mark.parametrize('file', sorted(CONFIG.glob('*.yaml')), ids=lambda file: file.name)
def test_the_parameter_files_hold_known_parameters_and_allowed_values(file: Path):
    document = yaml.safe_load(file.read_text())
    for key, content in document.items():
        rows = {row.name: row for row in parameter_rows(NODES[key.rsplit('/', 1)[-1]])}
        for name, value in content['ros__parameters'].items():
            rows[name].convert(value)


@pytest.mark.parametrize(
    ('name', 'value', 'converted'),
    [
        ('class_filter', [], ()),
        ('class_filter', b'', ()),
        ('class_filter', ['car', 'dog'], ('car', 'dog')),
        ('score_threshold', 1, 1.0),
        ('score_threshold', 0.25, 0.25),
        ('threads', 2, 2),
        ('autostart', False, False),
    ],
)
def test_allowed_values(name, value, converted):
    assert ROWS[name].convert(value) == converted
    assert type(ROWS[name].convert(value)) is type(converted)


@pytest.mark.parametrize(
    ('name', 'value', 'allowed'),
    [
        ('class_filter', 'car', 'list of texts'),
        ('class_filter', [1, 2], 'list of texts'),
        ('class_filter', None, 'list of texts'),
        ('score_threshold', 1.01, 'a number from 0.0 to 1.0'),
        ('score_threshold', None, 'a number from 0.0 to 1.0'),
        ('score_threshold', float('nan'), 'a number from 0.0 to 1.0'),
        ('threads', 2.0, 'a whole number from 0 to 1024'),
        ('threads', True, 'a whole number from 0 to 1024'),
        ('backend', 'gpu', 'one of auto, '),
        ('autostart', 'yes', 'true or false'),
        ('model', 3, 'a text'),
    ],
)
def test_a_refused_value_says_what_is_allowed(name, value, allowed):
    with pytest.raises(ParameterError, match=f'^{name}: .* is not allowed; allowed: {allowed}'):
        ROWS[name].convert(value)


def test_the_base_comes_first():
    first, *others = parameter_rows(NodeParameters)
    assert first.name == 'autostart'
    assert first.change != ANY_TIME
    start = [row.name for row in parameter_rows(DetectParameters)][: len(others) + 1]
    assert start == ['autostart', *(row.name for row in others)]
