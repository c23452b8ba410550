"""Classification of whole images: one score per class, [B, classes]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import Activation, activation_of, sigmoid, softmax
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.vector_output import choose_vector, vectors_of
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import Classification, DecodeSettings, Result
from trt_perception.tensor_spec import TensorSpec


class ClassifyOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        activation: what makes the output probabilities: 'softmax' for logits of which one class
            is right, 'sigmoid' where several may be, 'none' if they are some; None asks the
            graph.
        top: so many classes are returned, the most likely ones.
    """

    activation: Activation | None = None
    top: int = 5


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> ClassifyDecoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return ClassifyDecoder(spec, outputs)


class ClassifyDecoder:
    """Takes the most likely classes, whatever their scores; the thresholds have no part in it.

    The class filter removes classes without raising the scores of others. Scores that are not
    finite leave all classes of a softmax out, else their own.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Find the output, and what it needs. See `configure`."""
        options = options_of(spec, ClassifyOptions)
        if options.top < 1:
            raise ModelSpecError(f'{spec.name}: options: top is {options.top}; at least 1')
        self._top = options.top
        self._classes = len(spec.classes)
        wanted = f'[batch, {self._classes} classes]'
        self._output = choose_vector('classify', outputs, wanted)
        self._check(self._output.shape[1])
        self._activation = activation_of(spec, self._output.name, options.activation, 'softmax')

    def _check(self, columns: int) -> None:
        if columns in (-1, self._classes):
            return
        advice = (
            f'List all {columns} names under `classes`, or take the ONNX file that belongs to '
            'this YAML'
        )
        if columns == self._classes + 1:
            advice += '; a model with a background has it as its first class'
        raise ModelOutputError(
            f'{self._output.name} has {columns} classes, but the YAML lists {self._classes}. '
            f'{advice}'
        )

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        values = vectors_of(outputs, self._output, len(letterboxes))
        self._check(values.shape[1])
        if self._activation == 'softmax':
            values = softmax(values)
        elif self._activation == 'sigmoid':
            values = sigmoid(values)
        return [
            self._best(scores, letterbox, settings.class_filter)
            for scores, letterbox in zip(values, letterboxes, strict=False)
        ]

    def _best(
        self,
        scores: NDArray[np.float32],
        letterbox: Letterbox,
        class_filter: frozenset[int] | None,
    ) -> Classification:
        usable = np.isfinite(scores)
        if class_filter is not None:
            usable &= np.isin(np.arange(len(scores)), list(class_filter))
        class_ids = np.flatnonzero(usable)
        order = np.argsort(-scores[class_ids], kind='stable')[: self._top]
        chosen = class_ids[order].astype(np.int64)
        return Classification(chosen, np.clip(scores[chosen], 0.0, 1.0), letterbox.source)
