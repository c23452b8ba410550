"""Semantic segmentation outputs: logits per class, or class ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.class_map import interpolated_classes, nearest_classes
from trt_perception.decoding.output_shapes import batch_of, describe, is_float, matches
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import UNLABELLED, DecodeSettings, Result, SegmentationMap
from trt_perception.tensor_spec import TensorSpec


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> SemanticDecoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return SemanticDecoder(spec, outputs)


class SemanticDecoder:
    """Decodes logits [B, classes, h, w], or integer class ids [B, h, w] or [B, 1, h, w].

    Logits are interpolated to the centre of each source pixel and the class with the highest
    one is taken, the first one of equals. Class ids are taken from the nearest cell. The grid
    covers the network's input at any stride. `UNLABELLED` stands where a logit is not finite,
    where an id is none of the classes, and in place of classes that the class filter leaves out.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Check the output.

        Raises:
            ModelOutputError: it is not that of a semantic model with these classes.
        """
        self._classes = len(spec.classes)
        if len(outputs) != 1:
            raise ModelOutputError(
                f'the family semantic wants one output, the file has {len(outputs)}. '
                'Check `family` in the YAML, or export the model with its main output only'
            )
        output = outputs[0]
        self._name = output.name
        self._rank = len(output.shape)
        self._are_ids = np.issubdtype(output.dtype, np.integer)
        self._check(output)

    def _check(self, output: TensorSpec) -> None:
        if self._are_ids:
            if self._rank == 3 or (self._rank == 4 and matches(output.shape[1], 1)):
                return
            wanted = '[batch, height, width] or [batch, 1, height, width] for class ids'
            advice = 'Export the model with the class ids as its only output'
        else:
            wanted = f'[batch, {self._classes} classes, height, width]'
            if self._rank == 4 and is_float(output) and matches(output.shape[1], self._classes):
                return
            if self._rank == 3:
                advice = 'It looks like a detection model; if so, state `family: yolov8`'
            elif self._rank == 4 and output.shape[3] == self._classes:
                advice = 'It looks transposed: export it with the channels before height and width'
            elif self._rank == 4:
                advice = (
                    f'The file has {output.shape[1]} classes, but the YAML lists {self._classes}. '
                    f'List all {output.shape[1]} names under `classes`, or take the ONNX file '
                    'that belongs to this YAML'
                )
            else:
                advice = 'It is no semantic model; check `family` and `onnx` in the YAML'
        raise ModelOutputError(f'{describe([output])} should be {wanted}. {advice}')

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
                logits = image.astype(np.float32, copy=False)
                class_ids = interpolated_classes(logits, letterbox, table)
            results.append(SegmentationMap(class_ids))
        return results

    def _id_table(self, class_filter: frozenset[int] | None) -> NDArray[np.uint8]:
        """uint8 [256]: what becomes of each id."""
        table = np.full(256, UNLABELLED, np.uint8)
        kept = range(self._classes) if class_filter is None else sorted(class_filter)
        table[list(kept)] = kept
        return table
