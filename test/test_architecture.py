"""Holds the arrows of docs/architecture.md: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'trt_perception'
ROOT = 'root'
"""The room of the modules that lie beside the folders: results, frames, errors, model_spec."""

MAY_IMPORT = {
    ROOT: set(),
    'scenes': set(),
    'preprocessing': {ROOT},
    'gpu': {ROOT},
    'runtime': {ROOT, 'gpu'},
    'drawing': {ROOT},
    'tracking': {ROOT},
    'adaptation': {ROOT},
    'monitoring': set(),
    'decoding': {ROOT, 'preprocessing'},
    'kernels': {ROOT, 'gpu', 'preprocessing', 'decoding'},
    'sources': {ROOT, 'scenes', 'preprocessing'},
    'pipeline': {
        ROOT,
        'preprocessing',
        'decoding',
        'gpu',
        'kernels',
        'runtime',
        'tracking',
        'adaptation',
    },
    'building': {
        *(ROOT, 'preprocessing', 'decoding', 'runtime', 'pipeline', 'sources', 'adaptation'),
    },
    'evaluation': {
        *(ROOT, 'building', 'pipeline', 'runtime', 'decoding', 'preprocessing'),
        *('sources', 'scenes'),
    },
    'replaying': {ROOT, 'building', 'pipeline', 'preprocessing', 'sources', 'tracking'},
    'exporting': {ROOT, 'building', 'runtime'},
    'nodes': {
        *(ROOT, 'building', 'pipeline', 'runtime', 'sources', 'drawing', 'scenes'),
        *('preprocessing', 'tracking', 'monitoring', 'adaptation'),
    },
    'cli': {
        *(ROOT, 'evaluation', 'building', 'pipeline', 'runtime', 'sources', 'drawing', 'scenes'),
        *('nodes', 'tracking', 'exporting', 'gpu', 'replaying', 'monitoring'),
    },
}
ROS = ('rclpy', 'cv_bridge', 'launch', 'launch_ros', 'ament_index_python', 'rosidl_runtime_py')
GPU = ('tensorrt', 'tensorrt_rtx', 'pycuda', 'cuda', 'onnxruntime', 'torch')
MODULES = sorted(PACKAGE.rglob('*.py'))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ROOT


def imported(path: Path) -> set[str]:
    """Full names of everything that a module imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def rooms_imported(path: Path) -> set[str]:
    rooms = set()
    for name in imported(path):
        parts = name.split('.')
        if parts[0] != 'trt_perception' or parts[1] == 'msg':
            continue
        rooms.add(parts[1] if (PACKAGE / parts[1]).is_dir() else ROOT)
    return rooms


def is_ros(name: str) -> bool:
    top = name.split('.')[0]
    return top in ROS or top.endswith('_msgs') or name.startswith('trt_perception.msg')


def test_every_room_is_on_the_plan():
    assert {room_of(path) for path in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize('path', MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_run_one_way(path):
    room = room_of(path)
    assert rooms_imported(path) <= MAY_IMPORT[room] | {room}


@pytest.mark.parametrize('path', MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_nodes_know_ros(path):
    if room_of(path) != 'nodes':
        assert [name for name in imported(path) if is_ros(name)] == []


def test_the_plan_has_no_circle():
    reached: dict[str, set[str]] = {}

    def walk(room: str, path: tuple[str, ...]) -> set[str]:
        assert room not in path, f'circle: {" -> ".join((*path, room))}'
        if room not in reached:
            below = MAY_IMPORT[room]
            reached[room] = set(below).union(*(walk(b, (*path, room)) for b in below))
        return reached[room]

    for room in MAY_IMPORT:
        walk(room, ())


def test_the_core_imports_without_ros_gpu_or_backends():
    """In a fresh process in which none of these can be imported."""
    modules = []
    for path in MODULES:
        if room_of(path) == 'nodes' or path.name == '__main__.py':
            continue
        parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
        modules.append('.'.join(parts[:-1] if parts[-1] == '__init__' else parts))
    code = (
        'import importlib, sys\n'
        f'for name in {(*ROS, *GPU)!r}: sys.modules[name] = None\n'
        f'for name in {modules!r}: importlib.import_module(name)\n'
        'print("imported", len(sys.argv))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert done.stdout == 'imported 1\n', done.stderr


def test_the_package_itself_is_empty():
    """rosidl generates a package of the same name and may overwrite this file."""
    assert (PACKAGE / '__init__.py').read_text().strip() == ''
