"""YOLOv8-style outputs: detection and instance segmentation.

The network returns [B, 4 + classes (+ coefficients), anchors]: per anchor a box as centre x,
centre y, width, height in network pixels, one score in 0..1 per class, and for instance
segmentation one coefficient per prototype, beside prototypes [B, coefficients, h, w].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.instance_masks import instance_masks
from trt_perception.decoding.output_shapes import batch_of, is_float, matches
from trt_perception.decoding.suppression import suppress
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result
from trt_perception.tensor_spec import TensorSpec

MAX_CANDIDATES = 30000
"""At most so many anchors of an image enter suppression, those with the highest scores."""

_BOX = 4


def configure(spec: ModelSpec, outputs: Sequence[TensorSpec]) -> Yolov8Decoder:
    """The decoder for `spec`. Raises ModelOutputError if the outputs do not fit it."""
    return Yolov8Decoder(spec, outputs)


class Yolov8Decoder:
    """Decodes detection and instance segmentation outputs.

    An anchor gives at most one object, of the class with its highest score (the first one of
    equals). The class filter comes after that and before suppression: it removes objects and
    never relabels them. Anchors with a NaN or infinite number are left out.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[TensorSpec]) -> None:
        """Choose the outputs by rank and check them.

        Raises:
            ModelOutputError: they are not those of a YOLOv8-style model with these classes.
        """
        self._classes = len(spec.classes)
        self._instances = spec.task == 'instance'
        predictions = _choose(outputs, 3, 'predictions [batch, 4 + classes, anchors]')
        self._predictions = predictions.name
        self._prototypes = ''
        coefficients = 0
        if self._instances:
            prototypes = _choose(
                outputs, 4, 'prototypes [batch, coefficients, height, width] for task instance'
            )
            self._prototypes = prototypes.name
            coefficients = prototypes.shape[1]
        elif any(len(output.shape) == 4 for output in outputs):
            coefficients = _coefficients_beside(outputs)
            if matches(predictions.shape[1], _BOX + self._classes + coefficients):
                raise ModelOutputError(
                    'the file has prototypes for masks: it is an instance segmentation model. '
                    'State `task: instance`, or take the detection model'
                )
            coefficients = 0
        self._check_rows(predictions.name, predictions.shape, coefficients)

    def _check_rows(self, name: str, shape: tuple[int, ...], coefficients: int) -> None:
        """Compare the rows of the predictions with what the classes ask for."""
        rows = shape[1]
        if coefficients == -1:
            coefficients = max(rows - _BOX - self._classes, 1)
        expected = _BOX + self._classes + coefficients
        if matches(rows, expected):
            return
        masks = f' + {coefficients} mask coefficients' if coefficients else ''
        wanted = f'[batch, {expected} = 4 box + {self._classes} classes{masks}, anchors]'
        found = rows - _BOX - coefficients
        if shape[2] == expected:
            advice = 'It looks transposed: export it without the final transposition'
        elif coefficients and rows == _BOX + self._classes:
            advice = 'It has no mask coefficients: state `task: detect` or export it for masks'
        elif found > 0:
            advice = (
                f'{name} has {rows} rows: 4 box + {found} classes{masks}, but the YAML lists '
                f'{self._classes} classes. List all {found} names under `classes`, or take the '
                'ONNX file that belongs to this YAML'
            )
            if found == self._classes + 1:
                advice += ' (a YOLOv5-style model has a row for objectness: it is another family)'
        else:
            advice = 'It is no YOLOv8-style model; check `family` and `onnx` in the YAML'
        raise ModelOutputError(f'{name} is {list(shape)}, but should be {wanted}. {advice}')

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        predictions = batch_of(outputs, self._predictions, 3, len(letterboxes))
        if not self._instances:
            self._check_rows(self._predictions, predictions.shape, 0)
            return [
                self._decode(prediction, None, letterbox, settings)
                for prediction, letterbox in zip(predictions, letterboxes, strict=False)
            ]
        prototypes = batch_of(outputs, self._prototypes, 4, len(letterboxes))
        self._check_rows(self._predictions, predictions.shape, prototypes.shape[1])
        return [
            self._decode(prediction, prototype, letterbox, settings)
            for prediction, prototype, letterbox in zip(
                predictions, prototypes, letterboxes, strict=False
            )
        ]

    def _decode(
        self,
        prediction: NDArray[Any],
        prototypes: NDArray[Any] | None,
        letterbox: Letterbox,
        settings: DecodeSettings,
    ) -> Detections:
        """One image: `prediction` [rows, anchors], `prototypes` [coefficients, h, w]."""
        prediction = prediction.astype(np.float32, copy=False)
        anchors, scores, class_ids = self._candidates(prediction, settings)
        network_boxes = _corners(prediction[:_BOX, anchors])
        boxes = letterbox.to_source(network_boxes)
        # NaN compares false, so anchors with a NaN in the box go here too.
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        solid &= np.isfinite(network_boxes).all(axis=1)
        if prototypes is not None:
            solid &= np.isfinite(prediction[_BOX + self._classes :, anchors]).all(axis=0)
        rows = np.flatnonzero(solid)
        kept = rows[
            suppress(
                network_boxes[rows],
                scores[rows],
                class_ids[rows],
                settings.iou,
                settings.max_detections,
            )
        ]
        masks = None
        if prototypes is not None:
            coefficients = prediction[_BOX + self._classes :, anchors[kept]].T
            masks = instance_masks(prototypes, coefficients, network_boxes[kept], letterbox)
        return Detections(boxes[kept], scores[kept], class_ids[kept], letterbox.source, masks)

    def _candidates(
        self, prediction: NDArray[np.float32], settings: DecodeSettings
    ) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.int64]]:
        """Anchors whose best score is high enough, their scores in 0..1 and class ids."""
        class_scores = prediction[_BOX : _BOX + self._classes]
        with np.errstate(invalid='ignore'):
            best = class_scores.max(axis=0)
        anchors = np.flatnonzero((best >= settings.score) & (best < np.inf))
        if len(anchors) > MAX_CANDIDATES:
            order = np.argsort(-best[anchors], kind='stable')[:MAX_CANDIDATES]
            anchors = anchors[np.sort(order)]
        class_ids = class_scores[:, anchors].argmax(axis=0)
        if settings.class_filter is not None:
            wanted = np.isin(class_ids, list(settings.class_filter))
            anchors, class_ids = anchors[wanted], class_ids[wanted]
        return anchors, np.minimum(best[anchors], 1.0), class_ids.astype(np.int64)


def _corners(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [4, K] centre x, centre y, width, height -> [K, 4] x1 y1 x2 y2."""
    with np.errstate(invalid='ignore', over='ignore'):
        half = boxes[2:] * np.float32(0.5)
        return np.concatenate([boxes[:2] - half, boxes[:2] + half]).T


def _choose(outputs: Sequence[TensorSpec], rank: int, wanted: str) -> TensorSpec:
    """The one floating-point output of `rank` axes."""
    chosen = [o for o in outputs if len(o.shape) == rank and is_float(o)]
    if len(chosen) != 1:
        raise ModelOutputError(
            f'the family yolov8 wants one floating-point output with {rank} axes, {wanted}; '
            f'the file has {len(chosen)}. Check `family` and `task` in the YAML, or export the '
            'model again'
        )
    return chosen[0]


def _coefficients_beside(outputs: Sequence[TensorSpec]) -> int:
    """Channels of the first output that could be prototypes."""
    return next(o.shape[1] for o in outputs if len(o.shape) == 4)
