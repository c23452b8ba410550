"""A ROS 2 build installs everything that a user needs."""

from __future__ import annotations

import os
from importlib.util import cache_from_source
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def prefix() -> Path:
    """Where the package is installed, as `ros2 pkg prefix` finds it."""
    for entry in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        if (Path(entry) / 'share/trt_perception/package.xml').is_file():
            return Path(entry)
    pytest.skip('trt_perception is not on AMENT_PREFIX_PATH: not in a ROS 2 environment')


def sources(folder: str, pattern: str = '*') -> list[str]:
    paths = sorted((ROOT / folder).rglob(pattern))
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if path.is_file() and '__pycache__' not in path.parts
    ]


@pytest.mark.parametrize('folder', ['launch', 'config'])
def test_launch_and_config_files(prefix: Path, folder: str) -> None:
    missing = [
        name for name in sources(folder) if not (prefix / 'share/trt_perception' / name).is_file()
    ]
    assert missing == []


def test_python_modules(prefix: Path) -> None:
    (modules,) = prefix.glob('lib/python3*/*-packages')
    names = sources('trt_perception', '*.py')
    assert 'trt_perception/errors.py' in names
    assert [name for name in names if not (modules / name).is_file()] == []


def test_python_modules_are_compiled(prefix: Path) -> None:
    (modules,) = prefix.glob('lib/python3*/*-packages')
    names = [*sources('trt_perception', '*.py'), 'trt_perception/msg/__init__.py']
    compiled = [cache_from_source(str(modules / name)) for name in names]
    assert [name for name in compiled if not Path(name).is_file()] == []


def test_executables(prefix: Path) -> None:
    folder = prefix / 'lib/trt_perception'
    names = {Path(name).name for name in sources('scripts')}
    assert {'camera_node', 'detect_node', 'segment_node', 'overlay_node'} <= names
    assert {path.name for path in folder.iterdir() if os.access(path, os.X_OK)} == names


def test_the_command_is_on_the_path_of_a_workspace(prefix: Path) -> None:
    """Its setup files put bin there, and not the folder of the nodes."""
    assert os.access(prefix / 'bin' / 'trt_perception', os.X_OK)


def test_messages(prefix: Path) -> None:
    names = sources('msg', '*.msg')
    assert 'msg/PipelineStats.msg' in names
    installed = prefix / 'share/trt_perception'
    assert [name for name in names if not (installed / name).is_file()] == []


def test_the_vision_msgs_here_are_not_in_the_way_of_a_workspace() -> None:
    """Colcon passes over a folder with this file, so that the original is not built twice."""
    assert (ROOT / 'interfaces' / 'COLCON_IGNORE').is_file()
