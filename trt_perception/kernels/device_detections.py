"""Boxes and key points, decoded on the GPU; see `decoders.DeviceDecoder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.dense import DenseDecoder
from trt_perception.decoding.key_points import key_points_in_source
from trt_perception.kernels.dense_head import DenseHeadKernels, HeadObjects
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, Result

Letterboxes = Sequence[Letterbox]


class DeviceDetections:
    """Boxes, and key points; see `DeviceDecoder`."""

    def __init__(self, head: DenseHeadKernels, decoder: DenseDecoder) -> None:
        """For one network, whose decoder on the CPU says what its numbers are."""
        self._head = head
        self._decoder = decoder

    def scratch_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._head.scratch_bytes(len(letterboxes))

    def result_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._head.result_bytes(len(letterboxes))

    def head_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._head.result_bytes(len(letterboxes))

    def enqueue(
        self,
        outputs: Mapping[str, int],
        letterboxes: Letterboxes,
        settings: DecodeSettings,
        scratch: int,
        result: int,
        stream: Any,
    ) -> None:
        """See `DeviceDecoder`."""
        predictions = outputs[self._decoder.predictions]
        self._head.enqueue(predictions, letterboxes, settings, scratch, result, stream)

    def ask_less(self) -> None:
        """See `DeviceDecoder`. Never more is asked for than is needed."""

    def rest(self, result: NDArray[np.uint8], letterboxes: Letterboxes) -> list[slice]:
        """See `DeviceDecoder`."""
        return []

    def read(
        self, result: NDArray[np.uint8], letterboxes: Letterboxes, settings: DecodeSettings
    ) -> list[Result]:
        """See `DeviceDecoder`."""
        found = self._head.read(result, len(letterboxes))
        return [
            self._detections(objects, letterbox)
            for objects, letterbox in zip(found, letterboxes, strict=True)
        ]

    def _detections(self, found: HeadObjects, letterbox: Letterbox) -> Detections:
        shape = self._decoder.head.extras.shape_of(self._head.layout.extras)
        points = None
        if shape is not None:
            points = key_points_in_source(found.extras, shape, letterbox)
        return Detections(
            found.boxes, found.scores, found.class_ids, letterbox.source, key_points=points
        )
