"""RF-DETR and other DETRs that return logits: detection and instance segmentation.

The network returns boxes [B, k, 4], centre x, centre y, width, height as shares of the input,
logits [B, k, classes] and, for instance segmentation, mask logits [B, k, h, w]. Of all pairs of
a query and a class the best are taken, without suppression: "Deformable DETR", Zhu et al. 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import Activation, likely
from trt_perception.decoding.candidates import corners
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.pairs import candidates_of
from trt_perception.decoding.roles import Role, assign
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result
from trt_perception.tensor_spec import TensorSpec


class RfdetrOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        activation: what the logits need: 'sigmoid', or 'softmax' for the first DETRs, whose
            last column is "no object".
    """

    activation: Activation = 'sigmoid'


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> RfdetrDecoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return RfdetrDecoder(spec, outputs)


class RfdetrDecoder:
    """Decodes queries; every class of a query that scores high enough is a candidate."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Find the outputs by name. See `configure`."""
        self._activation = options_of(spec, RfdetrOptions).activation
        self._classes = len(spec.classes)
        self._size = np.array(spec.input.size * 2, np.float32)
        self._instances = spec.task == 'instance'
        columns = self._classes + (self._activation == 'softmax')
        self._roles = {
            'boxes': Role(
                'boxes `dets` [batch, queries, 4]', (-1, -1, 4), ('dets', 'pred_boxes', 'boxes')
            ),
            'logits': Role(
                f'logits `labels` [batch, queries, {columns} classes]',
                (-1, -1, columns),
                ('labels', 'logits', 'pred_logits'),
            ),
        }
        if self._instances:
            if not any(len(output.shape) == 4 for output in outputs):
                raise ModelOutputError(
                    'the task instance needs mask logits `masks` [batch, queries, h, w]; the file '
                    'has none. State `task: detect`, or export the segmentation model'
                )
            self._roles['masks'] = Role(
                'mask logits `masks` [batch, queries, h, w]',
                (-1, -1, -1, -1),
                ('masks', 'pred_masks'),
            )
        chosen = assign('rfdetr', outputs, self._roles)
        self._names = {key: output.name for key, output in chosen.items()}
        self._check_queries({key: output.shape[1] for key, output in chosen.items()})

    def _check_queries(self, queries: Mapping[str, int]) -> None:
        if len(set(queries.values()) - {-1}) > 1:
            found = ', '.join(f'{self._names[key]} {count}' for key, count in queries.items())
            raise ModelOutputError(
                f'the outputs differ in their number of queries: {found}. Take those of one head'
            )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        batch = {
            key: role.batch(outputs, self._names[key], len(letterboxes))
            for key, role in self._roles.items()
        }
        self._check_queries({key: tensor.shape[1] for key, tensor in batch.items()})
        return [
            self._decode({key: tensor[i] for key, tensor in batch.items()}, letterbox, settings)
            for i, letterbox in enumerate(letterboxes)
        ]

    def _decode(
        self, image: Mapping[str, NDArray[Any]], letterbox: Letterbox, settings: DecodeSettings
    ) -> Detections:
        """One image: boxes [k, 4], logits [k, columns], masks [k, h, w]."""
        boxes, logits = image['boxes'], image['logits']
        found = likely(logits, self._activation, settings.score)
        if logits.shape[1] > self._classes:
            found = found.before(self._classes)

        def placed(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            with np.errstate(invalid='ignore', over='ignore'):
                return corners(boxes[rows].astype(np.float32) * self._size)

        def queries(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            return rows.astype(np.float32)[:, None]

        candidates = candidates_of(
            found, placed, settings, extras=queries if self._instances else None
        )
        return objects(
            candidates, letterbox, settings, suppressed=False, mask_logits=image.get('masks')
        )
