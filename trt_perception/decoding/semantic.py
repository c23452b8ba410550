"""Semantic segmentation outputs: logits per class, or class ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.activation import activation_of
from trt_perception.decoding.class_map import interpolated_classes, nearest_classes
from trt_perception.decoding.family_options import FamilyOptions, options_of
from trt_perception.decoding.output_shapes import batch_of, describe, is_float, matches
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import UNLABELLED, DecodeSettings, Result, SegmentationMap
from trt_perception.tensor_spec import TensorSpec

_BINARY = 2
"""Classes of a model that tells an object from the rest."""


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> SemanticDecoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return SemanticDecoder(spec, outputs)


class SemanticOptions(FamilyOptions, frozen=True):
    """What the YAML file may say.

    Attributes:
        output: name of the output to use, where the file has several.
        threshold: with one channel, the least probability of the object, 0..1.
        activation: what the one channel still needs; None asks the graph.
    """

    output: str = ''
    threshold: float = 0.5
    activation: Literal['sigmoid', 'none'] | None = None


class SemanticDecoder:
    """Decodes logits [B, classes, h, w], or integer class ids [B, h, w] or [B, 1, h, w].

    Logits are interpolated to the centre of each source pixel and the class with the highest
    one is taken, the first one of equals. Class ids are taken from the nearest cell. The grid
    covers the network's input at any stride. `UNLABELLED` stands where a logit is not finite,
    where an id is none of the classes, and in place of classes that the class filter leaves out.

    One channel [B, 1, h, w] of floating-point numbers, with one or two classes, tells an object
    from the rest: pixels whose probability is above the threshold are of the last class, others
    of the first one of two, or unlabelled if there is one class only.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Choose the output and check it.

        Raises:
            ModelOutputError: it is not that of a semantic model with these classes.
            ModelSpecError: an option is wrong.
        """
        self._classes = len(spec.classes)
        options = options_of(spec, SemanticOptions)
        output = self._choose(outputs, options.output)
        self._name = output.name
        self._rank = len(output.shape)
        self._are_ids = np.issubdtype(output.dtype, np.integer)
        self._check(output)
        self._rest: np.float32 | None = None
        binary = self._classes == 1 or output.shape[1] == 1
        if not self._are_ids and binary:
            self._rest = _logit_of_the_rest(spec, output, options)

    @property
    def output(self) -> str:
        """Name of the output that is decoded."""
        return self._name

    @property
    def is_binary(self) -> bool:
        """Whether one channel tells an object from the rest."""
        return self._rest is not None

    def _choose(self, outputs: Sequence[TensorSpec], name: str) -> TensorSpec:
        """The output of that name; without a name the only one, or the only one that may be it."""
        if name:
            named = [output for output in outputs if output.name == name]
            if named:
                return named[0]
            raise ModelOutputError(
                f'the file has no output {name!r}. Correct `options: {{output: ...}}` in the YAML'
            )
        if len(outputs) == 1:
            return outputs[0]
        main = [o for o in outputs if self._mismatch(o) == '' and 'aux' not in o.name.lower()]
        if len(main) == 1:
            return main[0]
        advice = 'Check `family` in the YAML, or export the model with its main output only'
        if main:
            advice = (
                f'{" and ".join(output.name for output in main)} may be it. Name the main one: '
                f'`options: {{output: {main[0].name}}}`'
            )
        raise ModelOutputError(
            f'the family semantic wants one output, the file has {len(outputs)}. {advice}'
        )

    def _check(self, output: TensorSpec) -> None:
        """Raises ModelOutputError if the output is not that of a semantic model."""
        reason = self._mismatch(output)
        if not reason:
            return
        wanted = f'[batch, {self._classes} classes, height, width]'
        if np.issubdtype(output.dtype, np.integer):
            wanted = '[batch, height, width] or [batch, 1, height, width] for class ids'
        raise ModelOutputError(f'{describe([output])} should be {wanted}. {reason}')

    def _mismatch(self, output: TensorSpec) -> str:
        """Why the output does not fit, and what to do about it; '' if it does."""
        rank, shape = len(output.shape), output.shape
        if np.issubdtype(output.dtype, np.integer):
            if rank == 3 or (rank == 4 and matches(shape[1], 1)):
                return ''
            return 'Export the model with the class ids as its only output'
        if rank == 4 and is_float(output):
            if matches(shape[1], self._classes):
                return ''
            if shape[1] == 1 and self._classes == _BINARY:
                return ''
        if rank == 3:
            return 'It looks like a detection model; if so, state `family: yolov8`'
        if rank == 4 and shape[3] == self._classes:
            return 'It looks transposed: export it with the channels before height and width'
        if rank == 4 and shape[1] == 1:
            return (
                'It has one channel, which tells an object from the rest. List two classes, '
                'such as `classes: [background, object]`, or the object only'
            )
        if rank == 4:
            return (
                f'The file has {shape[1]} classes, but the YAML lists {self._classes}. '
                f'List all {shape[1]} names under `classes`, or take the ONNX file '
                'that belongs to this YAML'
            )
        return 'It is no semantic model; check `family` and `onnx` in the YAML'

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        output = batch_of(outputs, self._name, self._rank, len(letterboxes))
        self._check(TensorSpec(self._name, output.dtype, output.shape))
        table = self._id_table(settings.class_filter)
        results: list[Result] = []
        for image, letterbox in zip(output, letterboxes, strict=False):
            if self._are_ids:
                ids = image.reshape(image.shape[-2:])
                class_ids = nearest_classes(ids, letterbox, table)
            else:
                logits = self._logits(image)
                class_ids = interpolated_classes(logits, letterbox, table)
            results.append(SegmentationMap(class_ids))
        return results

    def _logits(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """float32 [classes, h, w]; of one channel, the rest and the object."""
        logits = image.astype(np.float32, copy=False)
        if len(logits) > 1:
            return logits
        if self._rest is None:
            raise ModelOutputError(
                f'{self._name} has one channel, but was configured for {self._classes} classes. '
                'Use the ONNX file that the model was configured with'
            )
        return np.concatenate([np.full_like(logits, self._rest), logits])

    def _id_table(self, class_filter: frozenset[int] | None) -> NDArray[np.uint8]:
        """uint8 [256]: what becomes of each id."""
        table = np.full(256, UNLABELLED, np.uint8)
        kept = range(self._classes) if class_filter is None else sorted(class_filter)
        if self._rest is not None and self._classes == 1:
            # The object is channel 1, and class 0.
            table[1] = 0 if 0 in kept else UNLABELLED
        else:
            table[list(kept)] = kept
        return table


def _logit_of_the_rest(spec: ModelSpec, output: TensorSpec, options: SemanticOptions) -> np.float32:
    """What the one channel must exceed where the object is."""
    if not 0 < options.threshold < 1:
        raise ModelSpecError(
            f'{spec.name}: options: threshold is {options.threshold}; it must lie between 0 and 1'
        )
    applied = activation_of(spec, output.name, options.activation, 'sigmoid')
    if applied == 'none':
        return np.float32(options.threshold)
    return np.float32(math.log(options.threshold / (1 - options.threshold)))
