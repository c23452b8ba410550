"""Parameters of camera_node."""

from __future__ import annotations

from typing import Annotated

from trt_perception.nodes.common_parameters import NodeParameters
from trt_perception.nodes.parameter_rows import UNCONFIGURED, about
from trt_perception.sources.encode import ENCODINGS


class CameraParameters(NodeParameters, frozen=True, kw_only=True):
    """Parameters of camera_node."""

    source: Annotated[
        str,
        about(
            'What the camera shows: synthetic (or synthetic:SEED), an image, a folder of images, '
            'a video, a V4L2 device such as /dev/video0, or a bag.',
            change=UNCONFIGURED,
        ),
    ] = 'synthetic'
    topic: Annotated[
        str,
        about(
            'Image topic of a bag that has several; empty for one that has one.',
            change=UNCONFIGURED,
        ),
    ] = ''
    rate: Annotated[
        float,
        about(
            "Images per second; 0 takes the source's own rate. A V4L2 device is asked for it.",
            change=UNCONFIGURED,
            ge=0.0,
            le=1000.0,
        ),
    ] = 0.0
    size: Annotated[
        str,
        about(
            'Width and height of the images, such as 1280x720; empty keeps those of the source.',
            change=UNCONFIGURED,
        ),
    ] = ''
    encoding: Annotated[
        str,
        about(
            'Encoding of the images; source leaves those of a bag as they are.',
            change=UNCONFIGURED,
            choices=(*ENCODINGS, 'source'),
        ),
    ] = 'bgr8'
    loop: Annotated[
        bool,
        about('Begin again at the end of the source.', change=UNCONFIGURED),
    ] = True
    count: Annotated[
        int,
        about(
            'Images to publish before the camera stops; 0 never stops.', change=UNCONFIGURED, ge=0
        ),
    ] = 0
    stamp: Annotated[
        str,
        about(
            'Stamp of the images: now is the time of publication by the clock of the node, '
            'source the time in a video or bag.',
            change=UNCONFIGURED,
            choices=('now', 'source'),
        ),
    ] = 'now'
    frame_id: Annotated[
        str,
        about(
            'Coordinate frame of the camera. Images of a bag keep their own.', change=UNCONFIGURED
        ),
    ] = 'camera'
    calibration: Annotated[
        str,
        about(
            'Path of a calibration file as camera_calibration writes it, for `camera_info`; '
            'empty describes a camera without distortion.',
            change=UNCONFIGURED,
        ),
    ] = ''
    field_of_view: Annotated[
        float,
        about(
            'Horizontal field of view in degrees, for `camera_info`. Unused with a calibration.',
            change=UNCONFIGURED,
            ge=1.0,
            le=179.0,
        ),
    ] = 60.0
    jpeg_quality: Annotated[
        int,
        about('Quality of the JPEG images on `image/compressed`.', ge=1, le=100),
    ] = 90
