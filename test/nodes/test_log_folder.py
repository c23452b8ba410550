"""The folder of ROS 2's log files."""

from __future__ import annotations

import pytest

from trt_perception.nodes.log_folder import WITHOUT_FILES, log_arguments


def test_a_folder_that_can_be_written_needs_no_arguments_and_keeps_nothing(tmp_path, capsys):
    assert log_arguments({'ROS_LOG_DIR': str(tmp_path / 'log')}) == []
    assert list((tmp_path / 'log').iterdir()) == []
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
    ('variables', 'named'),
    [
        ({'ROS_LOG_DIR': '{0}/log'}, '{0}/log'),
        ({'ROS_LOG_DIR': '~/log', 'HOME': '{0}'}, '{0}/log'),
        ({'ROS_LOG_DIR': '', 'ROS_HOME': '{0}'}, '{0}/log'),
        ({'HOME': '{0}'}, '{0}/.ros/log'),
        ({'ROS_HOME': '', 'HOME': ''}, '~/.ros/log'),
        ({}, '~/.ros/log'),
    ],
)
def test_one_that_cannot_is_told_and_done_without(variables, named, tmp_path, capsys):
    file = tmp_path / 'file'
    file.touch()
    given = {name: value.format(file) for name, value in variables.items()}
    assert log_arguments(given) == [*WITHOUT_FILES]
    said = capsys.readouterr().err
    assert said.startswith(f'{named.format(file)}: ')
    assert 'ROS_LOG_DIR' in said
