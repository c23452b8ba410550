"""RT-DETR as Ultralytics exports it: boxes that need no suppression.

The network returns either [B, k, 6], a box, its best score and that score's class, or
[B, k, 4 + classes], a box and one score per class. Boxes are centre x, centre y, width, height
as shares of the input, scores lie in 0..1.
"DETRs Beat YOLOs on Real-time Object Detection", Zhao et al. 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import Candidates, best_of_classes, corners
from trt_perception.decoding.chosen import chosen_candidates
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.roles import Role, assign
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Result
from trt_perception.tensor_spec import TensorSpec

_BEST = 6
"""Numbers of a row that holds a box, one score and one class."""


class RtdetrOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        layout: 'best' rows hold one score and its class, 'scores' one score per class. Must be
            stated only for models of two classes, whose rows are equally long.
    """

    layout: Literal['best', 'scores'] | None = None


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> RtdetrDecoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return RtdetrDecoder(spec, outputs)


class RtdetrDecoder:
    """Decodes rows of boxes. A row gives at most one object, of its best class."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Find the output and its layout. See `configure`."""
        stated = options_of(spec, RtdetrOptions).layout
        self._classes = len(spec.classes)
        self._size = spec.input.size
        every = 4 + self._classes
        lengths = {'best': _BEST, 'scores': every}
        wanted = [lengths[stated]] if stated else sorted({_BEST, every})
        shown = ' or '.join(
            f'[batch, queries, {n}{"" if n == _BEST else f" = 4 box + {self._classes} classes"}]'
            for n in wanted
        )
        roles = [Role(f'rows {shown}', (-1, -1, n), ('output0',)) for n in wanted]
        fitting = [role for role in roles if any(role.fits(o) for o in outputs)]
        self._role = (fitting or roles)[-1 if len(fitting) != 1 else 0]
        chosen = assign('rtdetr', outputs, {'rows': self._role})['rows']
        self._name = chosen.name
        row = chosen.shape[2]
        if stated is None and (row == -1 or every == _BEST):
            raise ModelOutputError(
                f'{chosen.name} {list(chosen.shape)} may hold the best score and its class, or '
                'one score per class. State `options: {layout: best}` or `{layout: scores}`'
            )
        self._best = stated == 'best' if stated else row == _BEST

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        batch = self._role.batch(outputs, self._name, len(letterboxes))
        return [
            objects(
                self._candidates(rows.astype(np.float32, copy=False), settings),
                letterbox,
                settings,
                suppressed=False,
            )
            for rows, letterbox in zip(batch, letterboxes, strict=False)
        ]

    def _candidates(self, rows: NDArray[np.float32], settings: DecodeSettings) -> Candidates:
        """Of one image, rows [k, 6 or 4 + classes]."""
        with np.errstate(invalid='ignore', over='ignore'):
            boxes = corners(rows[:, :4] * np.array(self._size * 2, np.float32))
        if self._best:
            return chosen_candidates(
                boxes, rows[:, 4], rows[:, 5], rows[:, 6:], settings, self._classes
            )
        with np.errstate(invalid='ignore'):
            scored = best_of_classes(rows[:, 4:].T, settings)
        none = np.zeros((len(scored.anchors), 0), np.float32)
        return Candidates(boxes[scored.anchors], scored.scores, scored.class_ids, none)
