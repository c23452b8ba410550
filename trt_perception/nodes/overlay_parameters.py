"""Parameters of overlay_node."""

from __future__ import annotations

from typing import Annotated

from trt_perception.nodes.common_parameters import InputParameters
from trt_perception.nodes.parameter_rows import UNCONFIGURED, about


class OverlayParameters(InputParameters, frozen=True, kw_only=True):
    """Parameters of overlay_node."""

    inputs: Annotated[
        tuple[str, ...],
        about(
            'Results to wait for, of: detections, instances, instance_mask, mask, key_points, '
            'classification. Empty takes those that somebody publishes.',
            change=UNCONFIGURED,
        ),
    ] = ()
    timeout: Annotated[
        float,
        about(
            'Seconds that an image waits for its results before it is drawn with what is there.',
            change=UNCONFIGURED,
            ge=0.0,
            le=60.0,
        ),
    ] = 0.5
    queue_size: Annotated[
        int,
        about('At most so many images wait for their results.', change=UNCONFIGURED, ge=1, le=1000),
    ] = 16
    models: Annotated[
        tuple[str, ...],
        about(
            'Models, as in the parameter `model` of the other nodes, whose class colours are '
            'used. Classes of none of them get colours by their names.',
            change=UNCONFIGURED,
        ),
    ] = ()
    encoding: Annotated[
        str,
        about('Encoding of the picture.', choices=('bgr8', 'rgb8')),
    ] = 'bgr8'
    boxes: Annotated[bool, about('Draw the frames around objects.')] = True
    labels: Annotated[bool, about('Draw plates with the names of the classes.')] = True
    scores: Annotated[bool, about('Show scores on the plates.')] = True
    track_ids: Annotated[bool, about('Show track ids on the plates, where there are any.')] = True
    masks: Annotated[bool, about('Blend masks in.')] = True
    key_points: Annotated[
        bool, about('Draw the points of poses and faces, and the lines of their skeleton.')
    ] = True
    status: Annotated[bool, about('Show the frame rate and what is missing.')] = True
    legend: Annotated[bool, about('List semantic classes that no object bears.')] = False
    mask_opacity: Annotated[
        float,
        about('Opacity of masks: 0 shows the image only, 1 the masks only.', ge=0.0, le=1.0),
    ] = 0.45
    line_width: Annotated[
        int,
        about('Width of lines in pixels; 0 takes what suits the image.', ge=0, le=50),
    ] = 0
    font_scale: Annotated[
        float,
        about('Size of letters, times what suits the image.', ge=0.1, le=10.0),
    ] = 1.0
