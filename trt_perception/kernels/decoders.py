"""Decoders that run on the GPU: from addresses of a network's outputs to results.

A decoder's result is one piece of memory. Its head is always copied back; what else there is to
copy, the head says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import MAX_CANDIDATES
from trt_perception.decoding.dense import DenseDecoder
from trt_perception.decoding.key_points import key_points_in_source
from trt_perception.decoding.objects import FAR
from trt_perception.decoding.registry import decoder_for
from trt_perception.decoding.semantic import SemanticDecoder
from trt_perception.kernels.class_map import TYPES, ClassMapKernels, GridLayout
from trt_perception.kernels.dense_head import (
    MOST_CLASSES,
    MOST_IMAGES,
    DenseHeadKernels,
    HeadLayout,
    HeadObjects,
)
from trt_perception.kernels.drawn_detections import DrawnDetections
from trt_perception.kernels.instance_masks import (
    MOST_CHANNELS,
    InstanceMaskKernels,
    MaskLayout,
    Prototypes,
    bytes_needed,
    mask_layouts,
    read_ids,
    read_masks,
    rooms_of,
)
from trt_perception.kernels.launching import Launcher
from trt_perception.model_spec import ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import (
    UNLABELLED,
    DecodeSettings,
    Detections,
    InstanceMask,
    Result,
    SegmentationMap,
)
from trt_perception.tensor_spec import TensorSpec

log = logging.getLogger(__name__)

FIRST_ROOM = 4
"""Room for the masks of an image at first, as a multiple of its pixels."""

LEAST_ROOM = 1 << 20
"""Bytes of room for the masks of small images."""

Letterboxes = Sequence[Letterbox]


class DeviceDecoder(Protocol):
    """Decodes the outputs of one network for batches of one size.

    Belongs to the thread that owns the GPU. Equal to the CPU's decoder of the family.
    """

    def scratch_bytes(self, letterboxes: Letterboxes) -> int:
        """Device memory that one batch needs meanwhile."""
        ...

    def result_bytes(self, letterboxes: Letterboxes) -> int:
        """Device memory of one batch's result. May grow from one batch to the next."""
        ...

    def head_bytes(self, letterboxes: Letterboxes) -> int:
        """How much of it is always to be copied back."""
        ...

    def enqueue(
        self,
        outputs: Mapping[str, int],
        letterboxes: Letterboxes,
        settings: DecodeSettings,
        scratch: int,
        result: int,
        stream: Any,
    ) -> None:
        """Put the work into a stream; nothing waits for the host.

        Args:
            outputs: device addresses by name.
            letterboxes: how each image was placed in the network's input.
            settings: thresholds and class filter.
            scratch, result: addresses, aligned to 256 bytes.
            stream: in which the kernels run.

        Raises:
            ValueError: `settings.max_detections` above `dense_head.MOST_DETECTIONS`.
        """
        ...

    def rest(self, result: NDArray[np.uint8], letterboxes: Letterboxes) -> list[slice]:
        """Which other bytes of the result are to be copied, once the head is there."""
        ...

    def read(
        self, result: NDArray[np.uint8], letterboxes: Letterboxes, settings: DecodeSettings
    ) -> list[Result]:
        """The results, copied.

        Args:
            result: uint8 [result_bytes], laid out as on the device.
            letterboxes, settings: as given to `enqueue`.
        """
        ...


def device_decoder(
    launcher: Launcher, spec: ModelSpec, outputs: Sequence[TensorSpec], *, id_image: bool = False
) -> DeviceDecoder | None:
    """The GPU's decoder of a model; None if it has to be decoded on the CPU.

    Args:
        launcher: of the GPU.
        spec: the model.
        outputs: the network's outputs, with the extents of one batch.
        id_image: whether detections with masks bring their id image.

    Raises:
        ModelSpecError, ModelOutputError: as `decoding.registry.decoder_for`.
    """
    decoder = decoder_for(spec, outputs)
    shapes = {output.name: output for output in outputs}
    if isinstance(decoder, SemanticDecoder):
        return _semantic(launcher, decoder, spec, shapes[decoder.output])
    if not isinstance(decoder, DenseDecoder) or decoder.decodes_boxes or spec.task == 'oriented':
        return None
    layout = _head_layout(decoder, spec, shapes[decoder.predictions])
    if layout is None:
        return None
    head = DenseHeadKernels(launcher, layout)
    if spec.task != 'instance':
        return DeviceDetections(head, decoder)
    output = shapes[decoder.head.extras.prototypes]
    grid = Prototypes(output.shape[1], (output.shape[3], output.shape[2]))
    if grid.channels > MOST_CHANNELS or output.dtype != layout.dtype:
        return None
    masks = InstanceMaskKernels(launcher, head, grid, id_image=id_image)
    return DeviceInstances(head, masks, decoder)


def _semantic(
    launcher: Launcher, decoder: SemanticDecoder, spec: ModelSpec, output: TensorSpec
) -> DeviceClassMaps | None:
    layout = GridLayout(len(spec.classes), (output.shape[-1], output.shape[-2]), output.dtype)
    if decoder.is_binary or layout.classes > UNLABELLED or str(output.dtype) not in TYPES:
        return None
    return DeviceClassMaps(ClassMapKernels(launcher, layout), decoder.output)


def _head_layout(decoder: DenseDecoder, spec: ModelSpec, output: TensorSpec) -> HeadLayout | None:
    head = decoder.head
    batch, rows, columns = output.shape
    anchors, values = (rows, columns) if head.objectness else (columns, rows)
    if head.classes > MOST_CLASSES or batch > MOST_IMAGES:
        return None
    if output.dtype not in (np.float32, np.float16):
        return None
    pose = spec.task == 'pose'
    return HeadLayout(
        anchors,
        head.classes,
        values - head.before,
        head.objectness,
        head.classes_scored,
        output.dtype,
        FAR if pose else float(np.finfo(np.float32).max),
        pose,
        MAX_CANDIDATES,
    )


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


class DeviceInstances:
    """Boxes with masks; see `DeviceDecoder`.

    The masks of an image have room for some times its pixels. Where that is not enough the
    weakest objects come without masks, once: the next batch has more room.
    """

    def __init__(
        self, head: DenseHeadKernels, masks: InstanceMaskKernels, decoder: DenseDecoder
    ) -> None:
        """For one network."""
        self._head = head
        self._masks = masks
        self._predictions = decoder.predictions
        self._prototypes = decoder.head.extras.prototypes
        self._room = 0

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
        areas = (letterbox.source[0] * letterbox.source[1] for letterbox in letterboxes)
        rooms = [max(FIRST_ROOM * area, LEAST_ROOM, self._room) for area in areas]
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
        self._make_room(max(bytes_needed(result, part) for part in layouts), layouts)
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

    def _make_room(self, needed: int, layouts: Sequence[MaskLayout]) -> None:
        if any(needed > part.arena_bytes for part in layouts):
            self._room = max(self._room, 2 * needed)
            log.warning(
                'the masks of one image need %d bytes: some weak objects came without. From the '
                'next image on there is room for twice as much',
                needed,
            )


class DeviceClassMaps:
    """Semantic maps; see `DeviceDecoder`."""

    def __init__(self, kernels: ClassMapKernels, output: str) -> None:
        """For one network, which has the output of that name."""
        self._kernels = kernels
        self._output = output

    def scratch_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._kernels.scratch_bytes(letterboxes)

    def result_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._starts(letterboxes)[-1]

    def head_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self.result_bytes(letterboxes)

    def _starts(self, letterboxes: Letterboxes) -> list[int]:
        starts = [0]
        for letterbox in letterboxes:
            starts.append(starts[-1] + -(-letterbox.source[0] * letterbox.source[1] // 256) * 256)
        return starts

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
        ids = [result + start for start in self._starts(letterboxes)[:-1]]
        cells, class_filter = outputs[self._output], settings.class_filter
        colours = [0] * len(ids)
        self._kernels.enqueue(cells, letterboxes, class_filter, scratch, ids, colours, stream)

    def rest(self, result: NDArray[np.uint8], letterboxes: Letterboxes) -> list[slice]:
        """See `DeviceDecoder`."""
        return []

    def read(
        self, result: NDArray[np.uint8], letterboxes: Letterboxes, settings: DecodeSettings
    ) -> list[Result]:
        """See `DeviceDecoder`."""
        maps: list[Result] = []
        for start, letterbox in zip(self._starts(letterboxes), letterboxes, strict=False):
            width, height = letterbox.source
            ids = result[start : start + width * height].reshape(height, width)
            maps.append(SegmentationMap(ids.copy()))
        return maps
