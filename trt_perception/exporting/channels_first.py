"""Turns a network that takes images with the channels last into one that takes them first."""

from __future__ import annotations

import onnx
from onnx import helper

from trt_perception.onnx_file import OnnxFile


def take_channels_first(model: onnx.ModelProto, file: OnnxFile) -> bool:
    """Let the network take [B, 3, H, W] where it takes [B, H, W, 3].

    Args:
        model: is changed in place.
        file: its interface.

    Returns:
        Whether anything was changed.
    """
    if file.layout != 'NHWC':
        return False
    graph = model.graph
    [image] = [value for value in graph.input if value.name == file.inputs[0].name]
    inner = f'{image.name}_channels_last'
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == image.name:
                node.input[position] = inner
    turn = helper.make_node('Transpose', [image.name], [inner], '/channels_last', perm=[0, 2, 3, 1])
    graph.node.insert(0, turn)
    dimensions = image.type.tensor_type.shape.dim
    batch, height, width, channels = (onnx.TensorShapeProto.Dimension() for _ in range(4))
    for copy, original in zip((batch, height, width, channels), dimensions, strict=True):
        copy.CopyFrom(original)
    del dimensions[:]
    dimensions.extend([batch, channels, height, width])
    return True
