"""Boxes with masks, decoded on the GPU; see `decoders.DeviceDecoder`."""

from __future__ import annotations

import logging
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
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Detections, InstanceMask, Result

log = logging.getLogger(__name__)

FIRST_ROOM, MOST_ROOM = 4, 32
"""Room for the masks of an image at first and at most, as a multiple of its pixels."""

LEAST_ROOM = 1 << 20
"""Bytes of room for the masks of small images."""

Letterboxes = Sequence[Letterbox]


class DeviceInstances:
    """Boxes with masks; see `DeviceDecoder`.

    The masks of an image have room for some times its pixels. Where that is not enough the
    weakest objects come without masks, once: the next batch has more room, as far as there is any.
    """

    def __init__(
        self, head: DenseHeadKernels, masks: InstanceMaskKernels, decoder: DenseDecoder
    ) -> None:
        """For one network."""
        self._head = head
        self._masks = masks
        self._predictions = decoder.predictions
        self._prototypes = decoder.head.extras.prototypes
        self._room, self._most = FIRST_ROOM, MOST_ROOM
        self._told = False

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
        rooms = [max(self._room * _area(letterbox), LEAST_ROOM) for letterbox in letterboxes]
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
        for part, letterbox in zip(layouts, letterboxes, strict=True):
            needed = bytes_needed(result, part)
            if needed > part.arena_bytes:
                self._make_room(needed, _area(letterbox))
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

    def _make_room(self, needed: int, area: int) -> None:
        room = min(-(-2 * needed // area), self._most)
        nbytes = max(room * area, LEAST_ROOM)
        grows = nbytes > max(self._room * area, LEAST_ROOM)
        if needed > nbytes and not self._told:
            self._told = True
            log.warning(
                'the masks of one image need %d bytes, and no more than %d are taken: weak objects '
                'come without. Raise the score threshold, or lower max_detections',
                *(needed, nbytes),
            )
        elif grows:
            log.warning(
                'the masks of one image need %d bytes: some weak objects came without. From the '
                'next image on there is room for %d',
                *(needed, nbytes),
            )
        if grows:
            self._room = room

    def ask_less(self) -> None:
        """See `DeviceDecoder`. What it asks for halves, for good, down to what it is at first."""
        if self._room > FIRST_ROOM:
            self._room = self._most = max(self._room // 2, FIRST_ROOM)


def _area(letterbox: Letterbox) -> int:
    width, height = letterbox.source
    return width * height
