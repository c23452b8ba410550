"""`trt_perception replay`: what nodes would publish for the images of bags, as new bags."""

from __future__ import annotations

import argparse

from trt_perception.cli.model_arguments import add_model_option, add_opening
from trt_perception.cli.numbers import whole
from trt_perception.cli.paths import path
from trt_perception.cli.thresholds import add_thresholds
from trt_perception.cli.tracking_arguments import add_tracking


def describe() -> str:
    """One line for the help text."""
    return 'Run a model over bags, faster than real time; write bags with what nodes publish.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bags, the model, and who does the work."""
    parser.add_argument('bags', metavar='BAG', nargs='+', type=path, help='a folder, .mcap or .db3')
    add_model_option(parser)
    parser.add_argument(
        '--out',
        '-o',
        type=path,
        required=True,
        metavar='DIR_OR_BAG',
        help='the bag to write; a folder for several. The same command goes on where a run stopped',
    )
    parser.add_argument(
        '--topic',
        action='append',
        default=[],
        metavar='T',
        help='image topic of bags with several; repeat it for several cameras',
    )
    parser.add_argument(
        '--with-images', action='store_true', help="copy the camera's images into the new bags"
    )
    model = parser.add_argument_group('model')
    add_opening(model)
    add_thresholds(model)
    add_tracking(parser.add_argument_group('tracking'))
    _add_work(parser.add_argument_group('work'))


def _add_work(work: argparse._ArgumentGroup) -> None:
    """Who does the work, and what is told of it."""
    work.add_argument(
        '--jobs',
        '-j',
        type=whole,
        metavar='N',
        help='processes; default: one for each CPU core, or 1 with a GPU',
    )
    work.add_argument(
        '--threads',
        type=whole,
        metavar='N',
        help='CPU threads of one inference; default: the cores divided by the processes',
    )
    work.add_argument(
        '--batch',
        type=whole,
        default=1,
        metavar='N',
        help='images in one inference, which a GPU may do faster; default %(default)s',
    )
    work.add_argument(
        '--cluster',
        choices=['ray'],
        help='spread the work over a Ray cluster, whose machines see the same files',
    )
    work.add_argument('--quiet', '-q', action='store_true', help='no progress, no table')


def run(arguments: argparse.Namespace) -> int:
    """Do it; see `replay_run.replay_bags`."""
    from trt_perception.cli.replay_run import replay_bags

    return replay_bags(arguments)
