"""Thresholds and class filter as arguments of a subcommand."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from trt_perception.cli.numbers import share, whole
from trt_perception.errors import ParameterError

if TYPE_CHECKING:
    from trt_perception.model_spec import ModelSpec
    from trt_perception.results import DecodeSettings


def add_thresholds(parser: argparse._ActionsContainer) -> None:
    """The arguments; `settings_of` reads them."""
    parser.add_argument('--score', type=share, help="lowest score, 0 to 1; default: the model's")
    parser.add_argument('--iou', type=share, help='overlap for suppression, 0 to 1')
    parser.add_argument('--max-detections', type=whole, metavar='N', help='per image')
    parser.add_argument('--classes', metavar='A,B', help='keep only these classes')


def settings_of(spec: ModelSpec, arguments: argparse.Namespace) -> DecodeSettings:
    """The model's settings with those that the user gave.

    Raises:
        ModelSpecError: a name in --classes is no class of the model.
        ParameterError: there is no name in it.
    """
    from trt_perception.pipeline.perception import default_settings

    settings = default_settings(spec)
    if arguments.score is not None:
        settings = replace(settings, score=arguments.score)
    if arguments.iou is not None:
        settings = replace(settings, iou=arguments.iou)
    if arguments.max_detections is not None:
        settings = replace(settings, max_detections=arguments.max_detections)
    if arguments.classes is not None:
        names = [name.strip() for name in arguments.classes.split(',') if name.strip()]
        if not names:
            raise ParameterError(
                f'--classes {arguments.classes!r} names no class; leave it out to keep all of '
                f'them: {", ".join(spec.class_names)}'
            )
        settings = replace(settings, class_filter=spec.class_filter(names))
    return settings
