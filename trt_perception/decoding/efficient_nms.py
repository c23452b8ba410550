"""Detection outputs with suppression in the graph, as TensorRT's EfficientNMS plugin gives them.

Four outputs: how many objects there are, [B, 1]; their boxes, x1 y1 x2 y2 in network pixels,
[B, N, 4]; their scores in 0..1, [B, N]; their classes, [B, N]. What lies beyond the number of
objects means nothing. YOLOv7 and many other exporters write such files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.chosen import chosen_candidates
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.output_shapes import check_batches
from trt_perception.decoding.roles import Role, assign
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result
from trt_perception.tensor_spec import TensorSpec

_ROLES = {
    'count': Role(
        'the number of objects [batch, 1]',
        (-1, 1),
        ('num_dets', 'num_detections'),
        'iu',
    ),
    'boxes': Role(
        'boxes [batch, objects, 4]',
        (-1, -1, 4),
        ('det_boxes', 'detection_boxes', 'nmsed_boxes', 'bboxes', 'boxes'),
    ),
    'scores': Role(
        'scores [batch, objects]',
        (-1, -1),
        ('det_scores', 'detection_scores', 'nmsed_scores', 'scores'),
    ),
    'classes': Role(
        'classes [batch, objects]',
        (-1, -1),
        ('det_classes', 'detection_classes', 'nmsed_classes', 'labels'),
        'iuf',
    ),
}
COUNT_NAMES = frozenset(_ROLES['count'].names)
"""Names of the output that only files of this family have."""


class _NoOptions(FamilyOptions, frozen=True):
    """The family has no settings."""


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> EfficientNmsDecoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    options_of(spec, _NoOptions)
    return EfficientNmsDecoder(spec, outputs)


class EfficientNmsDecoder:
    """Decodes detections that were suppressed in the graph; only thresholds are applied here.

    A lower `iou` or score threshold than that of the export has no effect.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Choose the outputs by name and check them.

        Raises:
            ModelOutputError: they are not those of such a file.
        """
        check_batches(outputs)
        self._classes = len(spec.classes)
        chosen = assign(spec.family, outputs, _ROLES)
        self._names = {key: output.name for key, output in chosen.items()}
        self._check_lengths({key: output.shape for key, output in chosen.items()})

    def _check_lengths(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        lengths = {shapes[key][1] for key in ('boxes', 'scores', 'classes')} - {-1}
        if len(lengths) > 1:
            raise ModelOutputError(
                'boxes, scores and classes are of different lengths: '
                f'{", ".join(f"{key} {list(shapes[key])}" for key in self._names)}. '
                'Export the model again'
            )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        batch = {
            key: _ROLES[key].batch(outputs, name, len(letterboxes))
            for key, name in self._names.items()
        }
        self._check_lengths({key: tensor.shape for key, tensor in batch.items()})
        return [
            self._decode({key: tensor[i] for key, tensor in batch.items()}, letterbox, settings)
            for i, letterbox in enumerate(letterboxes)
        ]

    def _decode(
        self, image: Mapping[str, NDArray[Any]], letterbox: Letterbox, settings: DecodeSettings
    ) -> Detections:
        count = max(int(image['count'][0]), 0)
        boxes = image['boxes'][:count]
        candidates = chosen_candidates(
            boxes,
            image['scores'][:count],
            image['classes'][:count],
            np.zeros((len(boxes), 0), np.float32),
            settings,
            self._classes,
        )
        return objects(candidates, letterbox, settings, suppressed=False)
