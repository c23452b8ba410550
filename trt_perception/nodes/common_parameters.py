"""Parameters of every node, and of every node that takes images."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from trt_perception.nodes.parameter_rows import START, UNCONFIGURED, about


class NodeParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What every node has."""

    autostart: Annotated[
        bool,
        about(
            'Configure and activate at the start; false leaves that to lifecycle services.',
            change=START,
        ),
    ] = True
    metrics_port: Annotated[
        int,
        about(
            'Port of 127.0.0.1 on which Prometheus can ask for the figures; 0 for none. Every '
            'node needs its own.',
            change=UNCONFIGURED,
            ge=0,
            le=65535,
        ),
    ] = 0


class InputParameters(NodeParameters, frozen=True, kw_only=True):
    """What every node that takes images has."""

    image_transport: Annotated[
        str,
        about(
            'Which topic is read: raw is `image`, compressed is `image/compressed`.',
            change=UNCONFIGURED,
            choices=('raw', 'compressed'),
        ),
    ] = 'raw'
    reliability: Annotated[
        str,
        about(
            'Reliability asked of the publisher of images. Best effort loses images that are '
            "larger than the middleware's buffers.",
            change=START,
            choices=('reliable', 'best_effort'),
        ),
    ] = 'reliable'


Parameters = TypeVar('Parameters', bound=NodeParameters)
