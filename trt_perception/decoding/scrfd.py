"""SCRFD: faces with five landmarks, as distances from points at strides 8, 16 and 32.

For each stride the network returns scores [N, 1], distances to the four sides [N, 4] and, unless
it finds boxes only, offsets of five landmarks [N, 10], all in strides; with or without a first
axis for the batch. "Sample and Computation Redistribution for Efficient Face Detection", Guo et
al. 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import Activation, activation_of, likely
from trt_perception.decoding.candidates import Candidates
from trt_perception.decoding.faces import LANDMARKS, check_names
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.output_shapes import check_batches, describe, is_float, matches
from trt_perception.decoding.pairs import candidates_of
from trt_perception.decoding.prior_boxes import at_cells
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result
from trt_perception.tensor_spec import TensorSpec

_WIDTHS = {'score': 1, 'bbox': 4, 'kps': 10}
"""The last extent of each kind of output, and what its name begins with."""


class ScrfdOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        strides: of the levels, in pixels, rising.
        anchors: points at each cell.
        activation: what the scores still need; None asks the graph.
    """

    strides: tuple[int, ...] = (8, 16, 32)
    anchors: int = 2
    activation: Activation | None = None


@dataclass(frozen=True)
class _Level:
    """The outputs of one stride.

    Attributes:
        names: by kind.
        stride: in pixels.
        points: float32 [N, 2], x y in network pixels.
        activation: what its scores need.
    """

    names: Mapping[str, str]
    stride: int
    points: NDArray[np.float32]
    activation: Activation


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> ScrfdDecoder:
    """The decoder for `spec`.

    Raises:
        ModelOutputError: the outputs do not fit it.
        ModelSpecError: an option is wrong.
    """
    return ScrfdDecoder(spec, outputs)


class ScrfdDecoder:
    """Decodes all levels together; landmarks have no confidence of their own: it is 1."""

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Find the outputs of each stride. See `configure`."""
        check_names(spec)
        options = options_of(spec, ScrfdOptions)
        if not options.strides or min(*options.strides, 1) < 1 or options.anchors < 1:
            raise ModelSpecError(
                f'{spec.name}: options: strides must be at least one whole number above 0, and '
                'anchors at least 1'
            )
        kinds = _kinds(outputs, len(options.strides))
        self._batched = len(kinds['score'][0].shape) == 3
        if self._batched:
            check_batches(outputs)
        self._landmarks = bool(kinds['kps'])
        self._levels = []
        for index, stride in enumerate(options.strides):
            cells = (-(-spec.input.size[0] // stride), -(-spec.input.size[1] // stride))
            extents = np.ones((options.anchors, 2))
            points = at_cells(cells, (stride, stride), extents, shift=0.0)[:, :2]
            found = {
                kind: _of_level(several, index, stride, len(points))
                for kind, several in kinds.items()
                if several
            }
            names = {kind: output.name for kind, output in found.items()}
            activation = activation_of(spec, names['score'], options.activation, 'sigmoid')
            self._levels.append(_Level(names, stride, points, activation))

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        levels = [
            {
                kind: self._batch(outputs, name, level, kind, len(letterboxes))
                for kind, name in level.names.items()
            }
            for level in self._levels
        ]
        return [
            self._decode(
                [{k: tensor[i] for k, tensor in level.items()} for level in levels],
                letterbox,
                settings,
            )
            for i, letterbox in enumerate(letterboxes)
        ]

    def _batch(
        self,
        outputs: Mapping[str, NDArray[Any]],
        name: str,
        level: _Level,
        kind: str,
        images: int,
    ) -> NDArray[Any]:
        """One output as [B, N, width]. Raises ModelOutputError."""
        wanted = (len(level.points), _WIDTHS[kind])
        tensor = outputs.get(name)
        if tensor is None:
            raise ModelOutputError(f'the backend returned no output {name!r}')
        if not self._batched and images > 1:
            raise ModelOutputError(
                f'{name} has no axis for the batch, so that one image at a time is possible, not '
                f'{images}. Export the model with a batch axis'
            )
        batch = tensor if self._batched else tensor[None]
        if batch.shape[1:] != wanted or len(batch) < images:
            raise ModelOutputError(
                f'{name} is {list(tensor.shape)}, but stride {level.stride} needs '
                f'{list(wanted)} for each of {images} images. Correct input.size or '
                '`options: {anchors, strides}`'
            )
        return batch

    def _decode(
        self,
        levels: Sequence[Mapping[str, NDArray[Any]]],
        letterbox: Letterbox,
        settings: DecodeSettings,
    ) -> Detections:
        parts = [
            _candidates(level, image, settings)
            for level, image in zip(self._levels, levels, strict=True)
        ]
        joined = Candidates(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
            np.concatenate([part.extras for part in parts]),
        )
        shape = LANDMARKS if self._landmarks else None
        return objects(joined, letterbox, settings, key_points=shape)


def _candidates(
    level: _Level, image: Mapping[str, NDArray[Any]], settings: DecodeSettings
) -> Candidates:
    """Of one level of one image: score [N, 1], bbox [N, 4], kps [N, 10]."""

    def corners(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        with np.errstate(invalid='ignore', over='ignore'):
            distances = image['bbox'][rows].astype(np.float32) * np.float32(level.stride)
            points = level.points[rows]
            return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)

    def landmarks(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        with np.errstate(invalid='ignore', over='ignore'):
            offsets = image['kps'][rows].astype(np.float32) * np.float32(level.stride)
            moved: NDArray[np.float32] = offsets + np.tile(level.points[rows], LANDMARKS.count)
        return moved

    found = likely(image['score'], level.activation, settings.score)
    return candidates_of(found, corners, settings, extras=landmarks if 'kps' in image else None)


def _kinds(outputs: Sequence[TensorSpec], levels: int) -> dict[str, list[TensorSpec]]:
    """The outputs of each kind, in the file's order."""
    found: dict[str, list[TensorSpec]] = {kind: [] for kind in _WIDTHS}
    ranks = {len(output.shape) for output in outputs}
    for output in outputs:
        for kind, width in _WIDTHS.items():
            if len(output.shape) in (2, 3) and is_float(output) and output.shape[-1] == width:
                found[kind].append(output)
    counts = tuple(len(several) for several in found.values())
    if len(ranks) != 1 or counts not in ((levels, levels, levels), (levels, levels, 0)):
        advice = 'Check `family`, `onnx` and `options: {strides}` in the YAML'
        if any(len(output.shape) == 3 and output.shape[1] in (4, 10) for output in outputs):
            advice = 'They look transposed: export them with the points before their numbers'
        raise ModelOutputError(
            f'the family scrfd wants for each of {levels} strides a score [points, 1], a bbox '
            f'[points, 4] and, with landmarks, kps [points, 10]; the file has {counts[0]}, '
            f'{counts[1]} and {counts[2]}. {advice}'
        )
    return found


def _of_level(several: Sequence[TensorSpec], index: int, stride: int, points: int) -> TensorSpec:
    """The one of a stride: by its name's ending, else by its extent, else by order."""
    named = [output for output in several if output.name.endswith(f'_{stride}')]
    fitting = [output for output in several if matches(output.shape[-2], points)]
    told = next((found[0] for found in (named, fitting) if len(found) == 1), None)
    chosen = told or several[index]
    if not matches(chosen.shape[-2], points):
        raise ModelOutputError(
            f'{describe([chosen])} should have {points} points at stride {stride}. Correct '
            'input.size, or `options: {anchors, strides}`'
        )
    return chosen
