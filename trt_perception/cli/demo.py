"""`trt_perception demo`: camera, detection, masks and overlay as ROS 2 nodes on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from trt_perception.cli.numbers import rate, size, whole
from trt_perception.cli.paths import path


def describe() -> str:
    """One line for the help text."""
    return 'Run camera, detection, masks and overlay as ROS 2 nodes; leave a video and a bag.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is shown, and how fast."""
    _add_images(parser)
    parser.add_argument(
        '--video-seconds',
        type=whole,
        default=15,
        metavar='S',
        help='length of overlay.mp4, whose encoding takes longer than all else; '
        'default %(default)s',
    )
    parser.add_argument(
        '--models',
        default='street_detect,street_instance,street_semantic',
        metavar='A,B,C',
        help='for detection, instance masks and semantic masks: names (see `trt_perception '
        'models`) or YAML files; default %(default)s',
    )
    parser.add_argument(
        '--out',
        '-o',
        type=path,
        default=Path('out/demo'),
        metavar='DIR',
        help='folder for the results, which are overwritten; default %(default)s',
    )


def _add_images(parser: argparse.ArgumentParser) -> None:
    """What the camera shows."""
    parser.add_argument(
        '--frames', type=whole, default=300, metavar='N', help='images; default %(default)s'
    )
    parser.add_argument(
        '--rate',
        type=rate,
        default=5.0,
        metavar='HZ',
        help='images per second; default %(default)s, which two CPU cores keep up with',
    )
    parser.add_argument(
        '--size',
        type=size,
        default='1280x720',
        metavar='WxH',
        help='of the images; default %(default)s',
    )
    parser.add_argument(
        '--source',
        default='synthetic',
        help='an image, a folder, a video, a camera or a bag in place of the synthetic street',
    )
    parser.add_argument(
        '--seed',
        type=whole,
        help='of the synthetic street; default: the first scene of the split demo',
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; see `demonstration.demonstrate`."""
    from trt_perception.cli.demonstration import demonstrate

    return demonstrate(arguments)
