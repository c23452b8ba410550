"""Every command names its model, backend and precision in the same words."""

from __future__ import annotations

import argparse
from collections import defaultdict

import pytest

from trt_perception.cli.main import build_parser
from trt_perception.cli.model_arguments import add_model, add_model_option, add_opening

SHARED = ('model', 'backend', 'precision', 'fallback_precision', 'keep_float')


def commands():
    (subparsers,) = [
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return subparsers.choices


@pytest.mark.parametrize('name', SHARED)
def test_an_option_means_the_same_everywhere(name):
    said = defaultdict(list)
    for command, parser in commands().items():
        if command == 'selftest':  # which takes several models, and has a default
            continue
        for action in parser._actions:
            if action.dest == name:
                said[action.help].append(command)
    assert len(said) == 1, dict(said)


def test_what_opens_a_model_has_defaults_that_run_anywhere():
    parser = argparse.ArgumentParser()
    add_model_option(parser)
    add_opening(parser)
    given = parser.parse_args(['-m', 'street_detect'])
    assert vars(given) == {
        'model': 'street_detect',
        'backend': 'auto',
        'precision': 'fp32',
        'fallback_precision': 'none',
    }


def test_a_model_must_be_named(capsys):
    for add in (add_model, add_model_option):
        parser = argparse.ArgumentParser()
        add(parser)
        with pytest.raises(SystemExit):
            parser.parse_args([])
    assert 'model' in capsys.readouterr().err
