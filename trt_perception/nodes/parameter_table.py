"""The parameters of every node; `parameter_rows` says how one is described."""

from __future__ import annotations

from trt_perception.nodes.camera_parameters import CameraParameters
from trt_perception.nodes.common_parameters import NodeParameters
from trt_perception.nodes.inference_parameters import ClassifyParameters
from trt_perception.nodes.overlay_parameters import OverlayParameters
from trt_perception.nodes.tracked_parameters import DetectParameters, SegmentParameters

NODES: dict[str, type[NodeParameters]] = {
    'camera_node': CameraParameters,
    'detect_node': DetectParameters,
    'segment_node': SegmentParameters,
    'classify_node': ClassifyParameters,
    'overlay_node': OverlayParameters,
}
"""The parameters of each node by its name."""
