"""RetinaFace: faces with five landmarks from prior boxes.

The network returns deltas `loc` [B, N, 4], confidences `conf` [B, N, 2], of which column 1 is the
face, and `landms` [B, N, 10], for N priors at strides 8, 16 and 32.
"RetinaFace: Single-shot Multi-level Face Localisation in the Wild", Deng et al. 2020, in the
layout of its widespread PyTorch implementation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import Activation, activation_of, likely
from trt_perception.decoding.deltas import Priors, boxes_from, points_from
from trt_perception.decoding.faces import LANDMARKS, check_names
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.pairs import candidates_of
from trt_perception.decoding.prior_boxes import at_cells
from trt_perception.decoding.roles import Role, assign
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result
from trt_perception.tensor_spec import TensorSpec

_ROLES = {
    'boxes': Role('`loc` [batch, priors, 4]', (-1, -1, 4), ('loc', 'bbox', 'boxes')),
    'scores': Role('`conf` [batch, priors, 2]', (-1, -1, 2), ('conf', 'scores', 'confidence')),
    'landmarks': Role('`landms` [batch, priors, 10]', (-1, -1, 10), ('landms', 'landmarks')),
}


class RetinafaceOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        min_sizes: of each level, the sides of its square priors in pixels.
        steps: of each level, pixels between its cells.
        variances: what the deltas of centres and landmarks, and of extents, are multiplied by.
        activation: what `conf` still needs; None asks the graph.
    """

    min_sizes: tuple[tuple[float, ...], ...] = ((16, 32), (64, 128), (256, 512))
    steps: tuple[int, ...] = (8, 16, 32)
    variances: tuple[float, float] = (0.1, 0.2)
    activation: Activation | None = None


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> RetinafaceDecoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it, or its priors do not fit them.
        ModelSpecError: an option is wrong.
    """
    return RetinafaceDecoder(spec, outputs)


class RetinafaceDecoder:
    """Decodes deltas from priors; landmarks have no confidence of their own: it is 1."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Compute the priors and find the outputs. See `configure`."""
        check_names(spec)
        options = options_of(spec, RetinafaceOptions)
        self._size = spec.input.size
        self._priors = _priors(spec, options)
        centre, extent = options.variances
        self._variances = (centre, centre, extent, extent)
        chosen = assign('retinaface', outputs, _ROLES)
        self._names = {key: output.name for key, output in chosen.items()}
        self._activation = activation_of(spec, self._names['scores'], options.activation, 'softmax')
        self._check_rows(output.shape[1] for output in chosen.values())

    def _check_rows(self, rows: Any) -> None:
        for count in rows:
            if count not in (-1, len(self._priors)):
                raise ModelOutputError(
                    f'the network has {count} priors, but min_sizes and steps make '
                    f'{len(self._priors)} for the input size {self._size[0]}x{self._size[1]}. '
                    'Correct input.size, or min_sizes and steps under `options`'
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
            for key, role in _ROLES.items()
        }
        self._check_rows(tensor.shape[1] for tensor in batch.values())
        return [
            self._decode({key: tensor[i] for key, tensor in batch.items()}, letterbox, settings)
            for i, letterbox in enumerate(letterboxes)
        ]

    def _decode(
        self, image: Mapping[str, NDArray[Any]], letterbox: Letterbox, settings: DecodeSettings
    ) -> Detections:
        """One image: boxes [N, 4], scores [N, 2], landmarks [N, 10]."""

        def corners(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            deltas = image['boxes'][rows].astype(np.float32)
            return boxes_from(self._priors[rows], deltas, self._variances)

        def points(rows: NDArray[np.intp]) -> NDArray[np.float32]:
            deltas = image['landmarks'][rows].astype(np.float32)
            return points_from(self._priors[rows], deltas, self._variances[0])

        found = likely(image['scores'], self._activation, settings.score, first=1)
        candidates = candidates_of(found, corners, settings, shift=1, extras=points)
        return objects(candidates, letterbox, settings, key_points=LANDMARKS)


def _priors(spec: ModelSpec, options: RetinafaceOptions) -> Priors:
    """float32 [N, 4], level by level."""
    numbers = [*options.steps, *options.variances, *(n for row in options.min_sizes for n in row)]
    if len(options.steps) != len(options.min_sizes) or not options.steps:
        raise ModelSpecError(
            f'{spec.name}: options: steps has {len(options.steps)} levels, min_sizes '
            f'{len(options.min_sizes)}; they must have the same, at least one'
        )
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ModelSpecError(
            f'{spec.name}: options: min_sizes, steps and variances must be finite and above 0'
        )
    width, height = spec.input.size
    parts = []
    for step, sides in zip(options.steps, options.min_sizes, strict=True):
        cells = (-(-width // step), -(-height // step))
        extents = np.array([(side, side) for side in sides], np.float64)
        parts.append(at_cells(cells, (step, step), extents))
    return np.concatenate(parts)
