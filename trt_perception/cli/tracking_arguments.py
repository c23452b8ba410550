"""How objects are followed, as arguments of a subcommand."""

from __future__ import annotations

import argparse
from dataclasses import replace

from trt_perception.tracking.settings import TrackerSettings


def add_tracking(tracking: argparse._ActionsContainer) -> None:
    """How objects are followed; see `tracker_settings`."""
    tracking.add_argument(
        '--tracker',
        default='none',
        metavar='KIND',
        help='give objects ids that stay: sort, bytetrack or deepsort; default none',
    )
    tracking.add_argument(
        '--track-memory',
        type=float,
        metavar='SECONDS',
        help='remember an object that is not seen for so long',
    )
    tracking.add_argument(
        '--camera-motion',
        default='none',
        metavar='KIND',
        help='take the motion of the camera out: flow or orb; default none',
    )
    tracking.add_argument(
        '--embedding-model',
        default='',
        metavar='MODEL',
        help='looks at every object and gives it an embedding, which deepsort needs',
    )


def tracker_settings(arguments: argparse.Namespace) -> TrackerSettings:
    """How to follow objects.

    Raises:
        ParameterError: there is no such tracker, or a value is not allowed.
    """
    settings = TrackerSettings(kind=arguments.tracker, camera_motion=arguments.camera_motion)
    if arguments.track_memory is not None:
        settings = replace(settings, memory=arguments.track_memory)
    return settings
