"""SSD and MobileNet-SSD: decoded outputs, or the raw heads with prior boxes.

The network returns boxes [B, N, 4] and scores [B, N, 1 + classes], of which column 0 is the
background. Decoded boxes are corners, x1 y1 x2 y2; raw ones are deltas from prior boxes.
"SSD: Single Shot MultiBox Detector", Liu et al. 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import Activation, activation_of, likely
from trt_perception.decoding.candidates import Candidates
from trt_perception.decoding.deltas import boxes_from, clipped
from trt_perception.decoding.family_options import options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.pairs import candidates_of
from trt_perception.decoding.roles import Role, assign
from trt_perception.decoding.single_shot_priors import PriorOptions, priors_of
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Result
from trt_perception.tensor_spec import TensorSpec

BACKGROUND_NAMES = frozenset({'background', '__background__', 'bg', '_background_'})


class SsdOptions(PriorOptions, frozen=True):
    """What the YAML file may say, beside the options of the priors.

    Attributes:
        boxes: 'normalised' and 'pixels' are decoded corners, as shares of the input or in its
            pixels; 'deltas' are raw heads. Must be stated.
        activation: what the scores still need; None asks the graph.
    """

    boxes: Literal['normalised', 'pixels', 'deltas'] | None = None
    activation: Activation | None = None


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> SsdDecoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong, or the priors do not belong to the input's size.
    """
    return SsdDecoder(spec, outputs)


class SsdDecoder:
    """Decodes SSD outputs; every class of a prior box that scores high enough is a candidate."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Find the outputs, and compute the priors for raw ones. See `configure`."""
        options = options_of(spec, SsdOptions)
        if options.boxes is None:
            raise ModelOutputError(
                'what the boxes of an SSD mean cannot be told from the file. State '
                '`options: {boxes: normalised}` for decoded corners in 0..1, `{boxes: pixels}` '
                'for decoded corners in pixels, or `{boxes: deltas, priors: ...}` for raw heads'
            )
        self._size = spec.input.size
        self._unit = options.boxes
        self._priors = priors_of(spec, options) if options.boxes == 'deltas' else None
        self._variances = options.box_variances
        # A list of classes may name the background, or leave it out.
        self._listed = spec.class_names[0].lower() in BACKGROUND_NAMES
        columns = len(spec.classes) + (not self._listed)
        rows = -1 if self._priors is None else len(self._priors)
        self._boxes = Role(
            f'boxes [batch, {_extent(rows, "boxes")}, 4]',
            (-1, -1, 4),
            ('boxes', 'bbox_regression', 'mbox_loc', 'loc', 'locations'),
        )
        self._scores = Role(
            f'scores [batch, boxes, {columns} = background + {columns - 1} classes]',
            (-1, -1, columns),
            ('scores', 'cls_logits', 'mbox_conf', 'conf', 'confidences'),
        )
        chosen = assign('ssd', outputs, {'boxes': self._boxes, 'scores': self._scores})
        self._names = chosen['boxes'].name, chosen['scores'].name
        self._activation = activation_of(spec, chosen['scores'].name, options.activation, 'softmax')
        self._check_rows(chosen['boxes'].shape[1], chosen['scores'].shape[1])

    def _check_rows(self, boxes: int, scores: int) -> None:
        """Compare the numbers of boxes; -1 is open."""
        if -1 not in (boxes, scores) and boxes != scores:
            raise ModelOutputError(
                f'there are {boxes} boxes but {scores} rows of scores. '
                'Take the outputs of one head, or export the model again'
            )
        if self._priors is None:
            return
        for rows in {boxes, scores} - {-1, len(self._priors)}:
            raise ModelOutputError(
                f'the network has {rows} boxes, but the options make {len(self._priors)} priors '
                f'for the input size {self._size[0]}x{self._size[1]}. Choose the right '
                '`options: {priors: ...}`, or state aspect_ratios, scales, cells and steps as '
                'the network was trained with'
            )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        boxes = self._boxes.batch(outputs, self._names[0], len(letterboxes))
        scores = self._scores.batch(outputs, self._names[1], len(letterboxes))
        self._check_rows(boxes.shape[1], scores.shape[1])
        return [
            objects(self._candidates(b, s, settings), letterbox, settings)
            for b, s, letterbox in zip(boxes, scores, letterboxes, strict=False)
        ]

    def _candidates(
        self, boxes: NDArray[Any], scores: NDArray[Any], settings: DecodeSettings
    ) -> Candidates:
        """Of one image: boxes [N, 4], scores [N, columns]."""
        found = likely(scores, self._activation, settings.score, first=1)
        shift = 0 if self._listed else 1

        def corners(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            chosen = boxes[rows].astype(np.float32)
            if self._priors is not None:
                moved = boxes_from(self._priors[rows], chosen, self._variances)
                return clipped(moved, self._size)
            return chosen * np.array(self._size * 2, np.float32) if self._scaled else chosen

        return candidates_of(found, corners, settings, shift=shift)

    @property
    def _scaled(self) -> bool:
        return self._unit == 'normalised'


def _extent(rows: int, name: str) -> str:
    return name if rows == -1 else f'{rows} {name}'
