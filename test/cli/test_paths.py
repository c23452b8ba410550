"""Paths on a command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from trt_perception.cli.main import main
from trt_perception.cli.paths import path


@pytest.mark.parametrize('text', ['', ' '])
def test_an_empty_text_is_no_path(text):
    with pytest.raises(argparse.ArgumentTypeError, match='may not be set'):
        path(text)


def test_others_are_taken_as_they_are():
    assert path('.') == Path()
    assert path('a b/c') == Path('a b/c')


@pytest.mark.parametrize(
    'command',
    [
        ['replay', 'drive', '--model', 'street_detect', '--out', ''],
        ['replay', '', '--model', 'street_detect', '--out', 'found'],
        ['export', 'yolov8n.pt', '--out', ''],
        ['inspect', ''],
    ],
)
def test_an_unset_variable_in_a_command_is_told(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert 'an empty text names no file or folder' in capsys.readouterr().err
