"""DETR-style deployments with three outputs: labels, boxes and scores (RT-DETR, D-FINE, DEIM).

The network returns labels [B, k], boxes [B, k, 4], x1 y1 x2 y2, and scores [B, k] in 0..1. It
scales the boxes to the size that a second input `orig_target_sizes` [B, 2] names. This package
names the size of the network's input there, so that boxes come in network pixels whatever the
image was and however it was placed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.chosen import chosen_candidates
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.roles import Role, assign
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Result
from trt_perception.tensor_spec import TensorSpec

_ROLES = {
    'boxes': Role('`boxes` [batch, queries, 4]', (-1, -1, 4), ('boxes',)),
    'scores': Role('`scores` [batch, queries]', (-1, -1), ('scores',)),
    'labels': Role('class ids `labels` [batch, queries]', (-1, -1), ('labels',), 'iuf'),
}


class DetrOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        size_order: the order in which the network takes the size: 'wh' width first, as RT-DETR
            and D-FINE do, 'hw' height first, as DETR does.
    """

    size_order: Literal['wh', 'hw'] = 'wh'


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> DetrDecoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return DetrDecoder(spec, outputs)


def side_inputs(spec: ModelSpec, inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """The size that the boxes are to be scaled to; see `registry.side_inputs_for`."""
    sizes = [tensor for tensor in inputs if len(tensor.shape) == 2]
    width, height = spec.input.size
    order = options_of(spec, DetrOptions).size_order
    row = (width, height) if order == 'wh' else (height, width)
    found = {}
    for tensor in sizes:
        if tensor.shape[1] not in (-1, 2) or tensor.dtype.kind not in 'if':
            raise ModelOutputError(
                f'input {tensor.name} is {tensor.dtype} {list(tensor.shape)}; the family detr '
                'fills one of sizes [batch, 2]. Check `family`, or export the model again'
            )
        found[tensor.name] = np.array([row], tensor.dtype)
    if not found:
        raise ModelOutputError(
            'the family detr wants a second input, orig_target_sizes [batch, 2], which says what '
            'the boxes are scaled to; the file has none. Export the model with its deploy '
            'postprocessor, or check `family`'
        )
    return found


class DetrDecoder:
    """Decodes rows of box, score and class id."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Find the three outputs. See `configure`."""
        self._classes = len(spec.classes)
        options_of(spec, DetrOptions)
        self._names = {key: o.name for key, o in assign('detr', outputs, _ROLES).items()}
        queries = {o.shape[1] for o in outputs if o.name in self._names.values()} - {-1}
        if len(queries) > 1:
            raise ModelOutputError(
                'labels, boxes and scores must have as many queries as each other; they have '
                f'{", ".join(map(str, sorted(queries)))}. Check that these are outputs of one head'
            )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        boxes, scores, labels = (
            role.batch(outputs, self._names[key], len(letterboxes)) for key, role in _ROLES.items()
        )
        if not labels.shape[1] == boxes.shape[1] == scores.shape[1]:
            raise ModelOutputError(
                f'labels, boxes and scores have {labels.shape[1]}, {boxes.shape[1]} and '
                f'{scores.shape[1]} queries. Use the ONNX file that the model was configured with'
            )
        results: list[Result] = []
        for row, letterbox in enumerate(letterboxes):
            extras = np.zeros((len(scores[row]), 0), np.float32)
            found = chosen_candidates(
                boxes[row], scores[row], labels[row], extras, settings, self._classes
            )
            results.append(objects(found, letterbox, settings, suppressed=False))
        return results
