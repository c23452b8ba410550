"""Decodes dense heads: every anchor proposes a box, suppression chooses among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import Candidates, corners
from trt_perception.decoding.dense_head import DenseHead
from trt_perception.decoding.extras import extras_of
from trt_perception.decoding.objects import objects
from trt_perception.decoding.output_shapes import batch_of, check_batches, choose_output
from trt_perception.decoding.rotated_boxes import rotated_objects
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result
from trt_perception.tensor_spec import TensorSpec

BoxDecoding = Callable[[NDArray[np.float32], NDArray[np.intp]], NDArray[np.float32]]
"""From four numbers per anchor, [N, 4], and the anchors, [N], to centre x, centre y, width and
height in network pixels."""


class DenseDecoder:
    """Decodes one output of rank 3, with prototypes beside it for instance segmentation.

    An anchor gives at most one object, of the class with its highest score (the first one of
    equals). The class filter comes after that and before suppression: it removes objects and
    never relabels them. Anchors with a NaN or infinite number are left out.
    """

    def __init__(
        self,
        spec: ModelSpec,
        outputs: Sequence[TensorSpec],
        *,
        objectness: bool = False,
        classes_scored: bool = True,
        key_point_shape: tuple[int, int] | None = None,
        box_decoding: BoxDecoding | None = None,
        check_anchors: Callable[[int], None] | None = None,
        chains: bool = True,
    ) -> None:
        """Choose the outputs by rank and check them.

        Args:
            spec: the model.
            outputs: the network's outputs.
            objectness: the layout, as of `DenseHead`.
            classes_scored: as of `DenseHead`.
            key_point_shape: the family's option of that name.
            box_decoding: what the four numbers of a box mean; None for centre, width, height in
                network pixels.
            check_anchors: raises an error if a number of anchors is wrong; gets -1 where the
                network leaves it open.
            chains: as of `suppress_rotated`, for the task oriented.

        Raises:
            ModelOutputError: they are not those of such a model with these classes.
            ModelSpecError: an option is wrong.
        """
        check_batches(outputs)
        layout = 'anchors, 5 + classes' if objectness else '4 + classes, anchors'
        predictions = choose_output(outputs, 3, f'predictions [batch, {layout}]', spec)
        self._task = spec.task
        self._predictions = predictions.name
        self._box_decoding = box_decoding
        self._check_anchors = check_anchors
        self._chains = chains
        extras = extras_of(
            spec,
            outputs,
            width=predictions.shape[2 if objectness else 1],
            before=4 + objectness + len(spec.classes),
            key_point_shape=key_point_shape,
        )
        self._head = DenseHead(spec.family, len(spec.classes), extras, objectness, classes_scored)
        self._check(predictions.shape)

    @property
    def head(self) -> DenseHead:
        """Where the numbers of an anchor lie."""
        return self._head

    @property
    def predictions(self) -> str:
        """Name of the output that is decoded."""
        return self._predictions

    @property
    def decodes_boxes(self) -> bool:
        """Whether the four numbers of a box are others than centre, width and height."""
        return self._box_decoding is not None

    def _check(self, shape: tuple[int, ...], coefficients: int | None = None) -> int:
        """How many extras each anchor has in predictions of this shape."""
        extras = self._head.check(self._predictions, shape, coefficients)
        if self._check_anchors is not None:
            self._check_anchors(shape[1] if self._head.objectness else shape[2])
        return extras

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
    ) -> list[Result]:
        """Decode one batch; see `protocol.Decoder`."""
        predictions = batch_of(outputs, self._predictions, 3, len(letterboxes))
        prototypes: Sequence[NDArray[Any] | None] = [None] * len(letterboxes)
        coefficients = None
        if self._head.extras.prototypes:
            tensor = batch_of(outputs, self._head.extras.prototypes, 4, len(letterboxes))
            prototypes, coefficients = list(tensor), tensor.shape[1]
        extras = self._check(predictions.shape, coefficients)
        with np.errstate(invalid='ignore', over='ignore'):
            return [
                self._decode(prediction, prototype, extras, letterbox, settings)
                for prediction, prototype, letterbox in zip(
                    predictions, prototypes, letterboxes, strict=False
                )
            ]

    def _decode(
        self,
        prediction: NDArray[Any],
        prototypes: NDArray[Any] | None,
        extras: int,
        letterbox: Letterbox,
        settings: DecodeSettings,
    ) -> Detections:
        """One image: its part of the predictions, `prototypes` [coefficients, h, w]."""
        scored = self._head.scored(prediction, settings)
        boxes = self._head.boxes(prediction, scored.anchors)
        if self._box_decoding is not None:
            boxes = self._box_decoding(boxes, scored.anchors)
        rotated = self._task == 'oriented'
        candidates = Candidates(
            boxes if rotated else corners(boxes),
            scored.scores,
            scored.class_ids,
            self._head.extra_values(prediction, scored.anchors),
        )
        if rotated:
            return rotated_objects(candidates, letterbox, settings, chains=self._chains)
        return objects(
            candidates,
            letterbox,
            settings,
            prototypes=prototypes,
            key_points=self._head.extras.shape_of(extras),
        )
