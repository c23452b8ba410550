"""Class ids in place of scores, computed in the graph, so that the engine returns few bytes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from trt_perception.errors import ExportError
from trt_perception.exporting.graph_editing import GraphEditing
from trt_perception.onnx_file import OnnxFile
from trt_perception.tensor_spec import TensorSpec

OUTPUT = 'class_ids'
_MAIN = ('out', 'logits', 'output', 'main')
"""Names of the output with the scores, where there are auxiliary ones besides."""


def add_argmax(model: onnx.ModelProto, file: OnnxFile) -> None:
    """Let a semantic model return class ids, uint8 [B, H, W], in place of scores [B, C, h, w].

    Where the scores are coarser than the input they are interpolated first, as the decoder would
    do it: what ids have lost cannot be interpolated. The first of equal scores counts.

    Args:
        model: is changed in place.
        file: its interface.

    Raises:
        ExportError: there is no output with at least two and at most 254 maps of scores.
    """
    scores = _scores(file)
    editing = GraphEditing(model, '/argmax')
    tensor = scores.name
    height, width = scores.shape[2:]
    size = file.input_size()
    if size is not None and 0 < height < size[1] and 0 < width < size[0]:
        factors = np.array([1, 1, size[1] / height, size[0] / width], np.float32)
        tensor = editing.add(
            'Resize', tensor, '', editing.constant(factors),
            mode='linear', coordinate_transformation_mode='half_pixel',
        )  # fmt: skip
        width, height = size
    ids = editing.add('ArgMax', tensor, axis=1, keepdims=0)
    # TensorRT converts from float alone to uint8.
    number = editing.add('Cast', ids, to=TensorProto.FLOAT)
    small = editing.add('Cast', number, to=TensorProto.UINT8)
    shape = ('batch' if scores.shape[0] < 0 else scores.shape[0], height, width)
    named = [f'axis_{axis}' if isinstance(e, int) and e < 0 else e for axis, e in enumerate(shape)]
    editing.finish(OUTPUT, small, TensorProto.UINT8, named)


def _scores(file: OnnxFile) -> TensorSpec:
    maps = [o for o in file.outputs if len(o.shape) == 4 and o.dtype.kind == 'f']
    named = [o for o in maps if o.name.lower() in _MAIN]
    chosen = maps if len(maps) == 1 else named
    if len(chosen) != 1 or not 2 <= chosen[0].shape[1] <= 254:
        shapes = ', '.join(f'{o.name} {list(o.shape)}' for o in file.outputs)
        raise ExportError(
            f'{file.path}: --argmax wants one output [batch, 2 to 254 classes, height, width] of '
            f'scores, the main one named {", ".join(_MAIN[:-1])} or {_MAIN[-1]}; the file has '
            f'{shapes}. Export the network up to its scores'
        )
    return chosen[0]
