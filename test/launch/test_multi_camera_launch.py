"""The launch file for several cameras."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from trt_perception.errors import ParameterError
from trt_perception.nodes.launching_cameras import CAMERAS_ARGUMENTS, camera_names, nodes_of

FILE = Path(__file__).resolve().parents[2] / 'launch' / 'multi_camera.launch.py'
GIVEN = {name: argument.default for name, argument in CAMERAS_ARGUMENTS.items()}


def test_the_file_says_what_it_is_for_and_does_no_more():
    tree = ast.parse(FILE.read_text())
    assert ast.get_docstring(tree)
    [function] = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert ast.unparse(function.body[0]) == 'return launch_cameras()'


@pytest.mark.parametrize('name', CAMERAS_ARGUMENTS)
def test_every_argument_is_described(name):
    argument = CAMERAS_ARGUMENTS[name]
    assert len(argument.description) > 20
    assert argument.choices is None or argument.default in argument.choices


def test_one_node_looks_at_all_cameras():
    [node] = nodes_of(GIVEN)
    assert (node['executable'], node['namespace']) == ('detect_node', '')
    file, values = node['parameters']
    assert file.endswith('detect.yaml')
    assert values == {'cameras': ['front', 'left', 'right', 'rear'], 'use_sim_time': False}


def test_arguments_reach_the_node():
    given = GIVEN | {
        'cameras': 'up, down', 'node': 'segment_node', 'max_age': '0.2', 'model': 'mine',
        'namespace': 'robot', 'camera_topics': '/up/image_raw, down/rgb',
        'reliability': 'best_effort', 'image_transport': 'compressed',
    }  # fmt: skip
    [node] = nodes_of(given)
    assert node['executable'] == 'segment_node'
    values = node['parameters'][-1]
    assert values['cameras'] == ['up', 'down']
    assert (values['max_age'], values['model']) == (0.2, 'mine')
    assert values['camera_topics'] == ['/up/image_raw', 'down/rgb']
    assert (values['reliability'], values['image_transport']) == ('best_effort', 'compressed')


@pytest.mark.parametrize(('namespace', 'wanted'), [('', 'up'), ('a', 'a/up'), ('/a', '/a/up')])
def test_cameras_publish_where_the_node_listens(namespace, wanted):
    given = GIVEN | {'cameras': 'up,down', 'source': 'synthetic', 'namespace': namespace}
    node, up, down = nodes_of(given)
    assert node['namespace'] == namespace
    assert up['namespace'] == wanted
    sources = [camera['parameters'][-2]['source'] for camera in (up, down)]
    assert sources == ['synthetic:1', 'synthetic:2'], 'each has a street of its own'
    assert down['parameters'][-1] == {'frame_id': 'down'}


def test_another_source_is_shown_as_it_is():
    camera = nodes_of(GIVEN | {'cameras': 'up', 'source': 'street.mp4'})[1]
    assert camera['parameters'][-2]['source'] == 'street.mp4'


@pytest.mark.parametrize('text', ['', ' , ,'])
def test_no_camera_is_refused(text):
    with pytest.raises(ParameterError, match='names no camera'):
        camera_names(text)


def test_a_camera_named_twice_is_refused_before_anything_starts():
    with pytest.raises(ParameterError, match='front is there more than once'):
        camera_names('front, rear, front')


@pytest.mark.parametrize(
    ('wrong', 'why'),
    [
        ({'camera_topics': 'a'}, 'names 1 topics, and cameras 2 cameras'),
        ({'camera_topics': 'a,b', 'source': 'synthetic'}, 'Leave one of the two out'),
    ],
)
def test_topics_that_do_not_fit_the_cameras_are_refused(wrong, why):
    with pytest.raises(ParameterError, match=why):
        nodes_of(GIVEN | {'cameras': 'up,down'} | wrong)


def test_an_age_that_is_no_number_is_refused():
    with pytest.raises(ParameterError, match="max_age: 'soon'"):
        nodes_of(GIVEN | {'max_age': 'soon'})


def test_launch_takes_the_file(tmp_path):
    pytest.importorskip('launch_ros', reason='needs ROS 2 launch, which the wheels lack')
    code = (
        'from launch import LaunchContext\n'
        'from trt_perception.nodes.launching_cameras import _start, CAMERAS_ARGUMENTS\n'
        'context = LaunchContext()\n'
        'for name, argument in CAMERAS_ARGUMENTS.items():\n'
        '    context.launch_configurations[name] = argument.default\n'
        'context.launch_configurations["source"] = "synthetic"\n'
        'print([type(a).__name__ for a in _start(context)].count("Node"))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.stdout.strip() == '5', done.stderr
