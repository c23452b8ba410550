"""The set-up chooses, describes and activates its environment as it says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from environment import distribution, requirements
from environment.activation import Variables
from environment.steps import SetupError, Stamps, digest

OWN = Path('/checkout/.ros')
LINES = [
    '# a comment',
    'colcon-common-extensions==0.3.0',
    'colcon-core==0.21.3',
    'numpy==2.2.6',
    'onnx==1.23.2',
    'opencv-python-headless==4.13.0.92',
]


def distribution_in(prefix: Path, *packages: str) -> Path:
    folder = prefix / 'share/ament_index/resource_index/packages'
    folder.mkdir(parents=True)
    for package in packages:
        (folder / package).touch()
    return prefix


def test_nothing_required() -> None:
    assert requirements.reduced([], set(), '') == ([], [])


def test_a_system_without_python_packages_gets_all_of_them() -> None:
    assert requirements.reduced(LINES, set(), '') == (LINES[1:], [])


def test_the_packages_of_the_system_are_not_installed_again() -> None:
    kept, constraints = requirements.reduced(LINES, {'colcon_core', 'numpy', 'cv2'}, '2.1.0')
    assert (kept, constraints) == (['onnx==1.23.2'], [])


def test_numpy_1_stays_and_opencv_follows_it() -> None:
    kept, constraints = requirements.reduced(LINES, {'colcon_core', 'numpy'}, '1.26.4')
    assert kept == ['onnx==1.23.2', requirements.OPENCV_FOR_NUMPY_1]
    assert constraints == [requirements.NUMPY_1]


def test_nothing_sourced_means_wheels_of_the_default() -> None:
    chosen = distribution.find('', {}, OWN)
    assert (chosen.name, chosen.sourced, chosen.folder) == ('jazzy', None, 'jazzy')


def test_a_sourced_distribution_is_used(tmp_path: Path) -> None:
    prefix = distribution_in(tmp_path, 'rclpy', 'vision_msgs')
    environment = {'ROS_DISTRO': 'humble', 'AMENT_PREFIX_PATH': str(prefix)}
    chosen = distribution.find('', environment, OWN)
    assert (chosen.name, chosen.sourced) == ('humble', environment)
    assert chosen.has_package('vision_msgs')
    assert not chosen.has_package('cv_bridge')


def test_a_named_distribution_is_taken_before_the_sourced_one(tmp_path: Path) -> None:
    prefix = distribution_in(tmp_path, 'rclpy')
    environment = {'ROS_DISTRO': 'humble', 'AMENT_PREFIX_PATH': str(prefix)}
    chosen = distribution.find('kilted', environment, OWN)
    assert (chosen.name, chosen.sourced) == ('kilted', None)


def test_a_workspace_without_ros_is_no_distribution(tmp_path: Path) -> None:
    prefix = distribution_in(tmp_path, 'something_else')
    assert distribution.find('', {'AMENT_PREFIX_PATH': str(prefix)}, OWN).sourced is None


def test_an_unknown_distribution_is_refused_with_what_there_is() -> None:
    with pytest.raises(SetupError, match=r'jazzy or kilted(.|\n)*/opt/ros/humble'):
        distribution.find('', {'ROS_DISTRO': 'humble'}, OWN)


def test_our_own_activated_environment_is_not_a_sourced_distribution() -> None:
    environment = {
        'AMENT_PREFIX_PATH': f'{OWN}/kilted/venv',
        'LD_LIBRARY_PATH': f'{OWN}/kilted/venv/lib:/usr/local/lib',
        'PATH': f'{OWN}/kilted/venv/bin:/usr/bin',
        'ROS_DISTRO': 'kilted',
        'VIRTUAL_ENV': f'{OWN}/kilted/venv',
        distribution.WHEELS_GUARD: '1',
    }
    assert distribution.without_own(environment, OWN) == {
        'LD_LIBRARY_PATH': '/usr/local/lib',
        'PATH': '/usr/bin',
        'ROS_DISTRO': 'kilted',
    }


@pytest.mark.parametrize('times', [1, 2])
def test_the_written_file_sets_what_a_process_gets(tmp_path: Path, times: int) -> None:
    variables = Variables(
        texts={'ROS_DISTRO': "it's $HOME"},
        lists={'AMENT_PREFIX_PATH': ['/a b', '/c']},
        prefixes={'LD_LIBRARY_PATH': ['/a b/lib', '/c/lib'], 'FRESH_PATH': ['/d']},
    )
    base = {
        'AMENT_PREFIX_PATH': '/opt/ros/humble',
        'LD_LIBRARY_PATH': '/old',
        'MAKEFLAGS': '-n',
        'PATH': os.environ['PATH'],
    }
    script = tmp_path / 'activate'
    script.write_text(variables.shell())
    command = f'set -eu; {f". {script};" * times} env -0'
    output = subprocess.check_output(['sh', '-c', command], env=base, text=True)
    seen = dict(entry.split('=', 1) for entry in output.split('\0') if entry)
    for name in ('PWD', 'OLDPWD', 'SHLVL', '_'):
        seen.pop(name, None)
    assert seen == variables.applied(base)


def test_a_stamp_is_there_only_when_finished(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path / 'stamps')
    assert stamps.current('build') == ''
    stamps.finish('build', 'inputs')
    assert stamps.current('build') == 'inputs'
    stamps.clear('build')
    assert stamps.current('build') == ''


def test_a_digest_depends_on_contents_and_on_where_texts_end(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    path.write_text('one')
    first = digest(path)
    path.write_text('two')
    assert digest(path) != first
    assert digest('ab', 'c') != digest('a', 'bc')
