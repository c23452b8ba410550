"""Boxes with masks, decoded on the GPU; see `decoders.DeviceDecoder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.dense import DenseDecoder
from trt_perception.kernels.dense_head import DenseHeadKernels, HeadObjects
from trt_perception.kernels.drawn_detections import DrawnDetections
from trt_perception.kernels.instance_masks import (
    InstanceMaskKernels,
    MaskLayout,
    bytes_needed,
    mask_layouts,
    read_ids,
    read_masks,
    rooms_of,
)
from trt_perception.kernels.mask_room import MaskRoom
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, InstanceMask, Result

Letterboxes = Sequence[Letterbox]


class DeviceInstances:
    """Boxes with masks; see `DeviceDecoder`.

    Where the masks of an image have too little room the weakest objects come without masks, once:
    the next batch has more room, as far as there is any. See `MaskRoom`.
    """

    def __init__(
        self, head: DenseHeadKernels, masks: InstanceMaskKernels, decoder: DenseDecoder
    ) -> None:
        """For one network."""
        self._head = head
        self._masks = masks
        self._predictions = decoder.predictions
        self._prototypes = decoder.head.extras.prototypes
        self._room = MaskRoom()

    def scratch_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._head.scratch_bytes(len(letterboxes)) + self._masks.scratch_bytes(letterboxes)

    def result_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._layouts(letterboxes)[2]

    def head_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._layouts(letterboxes)[1]

    def _layouts(self, letterboxes: Letterboxes) -> tuple[list[MaskLayout], int, int]:
        """Of a batch that begins now."""
        start = self._head.result_bytes(len(letterboxes))
        rooms = [self._room.bytes_for(_area(letterbox)) for letterbox in letterboxes]
        return mask_layouts(letterboxes, start, rooms, id_image=self._masks.id_image)

    def _layouts_of(self, result: NDArray[np.uint8], letterboxes: Letterboxes) -> list[MaskLayout]:
        """Of a batch that is over. Since it began, the room may have grown."""
        start = self._head.result_bytes(len(letterboxes))
        rooms = rooms_of(result, start, len(letterboxes))
        return mask_layouts(letterboxes, start, rooms, id_image=self._masks.id_image)[0]

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
        predictions, prototypes = outputs[self._predictions], outputs[self._prototypes]
        self._head.enqueue(predictions, letterboxes, settings, scratch, result, stream)
        places = scratch + self._head.scratch_bytes(len(letterboxes))
        layouts = self._layouts(letterboxes)[0]
        addresses = predictions, prototypes, result
        self._masks.enqueue(addresses, letterboxes, layouts, places, result, stream)

    def rest(self, result: NDArray[np.uint8], letterboxes: Letterboxes) -> list[slice]:
        """See `DeviceDecoder`. The id image and the used part of the arena of each image."""
        layouts = self._layouts_of(result, letterboxes)
        ends = (part.arena + min(bytes_needed(result, part), part.arena_bytes) for part in layouts)
        return [
            slice(part.ids, end) for part, end in zip(layouts, ends, strict=True) if end > part.ids
        ]

    def read(
        self, result: NDArray[np.uint8], letterboxes: Letterboxes, settings: DecodeSettings
    ) -> list[Result]:
        """See `DeviceDecoder`."""
        layouts = self._layouts_of(result, letterboxes)
        found = self._head.read(result, len(letterboxes))
        results: list[Result] = []
        for objects, part, letterbox in zip(found, layouts, letterboxes, strict=True):
            masks = read_masks(result, part, len(objects.scores))
            results.append(self._detections(objects, masks, result, part, letterbox))
        self._room.served()
        for part, letterbox in zip(layouts, letterboxes, strict=True):
            needed = bytes_needed(result, part)
            if needed > part.arena_bytes:
                self._room.lacked(needed, _area(letterbox))
        return results

    def _detections(
        self,
        found: HeadObjects,
        masks: list[InstanceMask],
        result: NDArray[np.uint8],
        layout: MaskLayout,
        letterbox: Letterbox,
    ) -> Detections:
        fields = found.boxes, found.scores, found.class_ids, letterbox.source, masks
        if not self._masks.id_image:
            return Detections(*fields)
        return DrawnDetections(*fields, drawn=masks, ids=read_ids(result, layout, letterbox))

    def ask_less(self) -> None:
        """See `DeviceDecoder`."""
        self._room.ask_less()


def _area(letterbox: Letterbox) -> int:
    width, height = letterbox.source
    return width * height
