"""`trt_perception detect`: the pipeline over an image, a folder, a video, a bag or the street."""

from __future__ import annotations

import argparse
from pathlib import Path

from trt_perception.cli.model_arguments import add_model_option, add_opening
from trt_perception.cli.numbers import rate, size, whole
from trt_perception.cli.paths import path
from trt_perception.cli.thresholds import add_thresholds
from trt_perception.cli.tracking_arguments import add_tracking


def describe() -> str:
    """One line for the help text."""
    return 'Run a model over images, a video, a camera or a bag; write pictures and JSON.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The input, the model, and what may be changed."""
    parser.add_argument(
        'input',
        metavar='INPUT',
        help='an image, a folder of images, a video, a bag, a camera (/dev/video0), '
        'synthetic, synthetic:SEED or synthetic:SPLIT',
    )
    add_model_option(parser)
    parser.add_argument(
        '--out',
        '-o',
        type=path,
        default=Path('out/detect'),
        metavar='DIR',
        help='folder for the results, which may be overwritten; default %(default)s',
    )
    model = parser.add_argument_group('model')
    add_opening(model)
    model.add_argument('--threads', type=whole, metavar='N', help='CPU threads for inference')
    add_thresholds(model)
    add_tracking(parser.add_argument_group('tracking'))
    _add_input(parser.add_argument_group('input'))
    _add_output(parser.add_argument_group('output'))


def _add_input(source: argparse._ArgumentGroup) -> None:
    """How the input is read."""
    source.add_argument('--limit', type=whole, metavar='N', help='stop after N frames')
    source.add_argument('--topic', help='image topic of a bag with several')
    source.add_argument('--size', type=size, metavar='WxH', help='resize or render the images')
    source.add_argument('--rate', type=rate, metavar='HZ', help='frames per second of the video')


def _add_output(output: argparse._ArgumentGroup) -> None:
    """What is written and shown."""
    output.add_argument('--no-pictures', action='store_true', help='write JSON and masks only')
    output.add_argument(
        '--video-width',
        type=whole,
        default=960,
        metavar='PIXELS',
        help='greatest width of overlay.mp4; default %(default)s',
    )
    output.add_argument('--quiet', '-q', action='store_true', help='no progress, no table')


def run(arguments: argparse.Namespace) -> int:
    """Do it; see `detecting.detect`."""
    from trt_perception.cli.detecting import detect

    return detect(arguments)
