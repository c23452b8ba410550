"""Decoders that run on the GPU: from addresses of a network's outputs to results.

A decoder's result is one piece of memory. Its head is always copied back; what else there is to
copy, the head says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.candidates import MAX_CANDIDATES
from trt_perception.decoding.dense import DenseDecoder
from trt_perception.decoding.objects import FAR
from trt_perception.decoding.registry import decoder_for
from trt_perception.decoding.semantic import SemanticDecoder
from trt_perception.kernels.class_map import TYPES, ClassMapKernels, GridLayout
from trt_perception.kernels.dense_head import (
    MOST_CLASSES,
    MOST_IMAGES,
    DenseHeadKernels,
    HeadLayout,
)
from trt_perception.kernels.device_class_maps import DeviceClassMaps
from trt_perception.kernels.device_detections import DeviceDetections
from trt_perception.kernels.device_instances import DeviceInstances
from trt_perception.kernels.instance_masks import MOST_CHANNELS, InstanceMaskKernels, Prototypes
from trt_perception.kernels.launching import Launcher
from trt_perception.model_spec import ModelSpec
from trt_perception.palette import class_colors, color_table
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import UNLABELLED, DecodeSettings, Result
from trt_perception.tensor_spec import TensorSpec

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

    def ask_less(self) -> None:
        """There was no room for a result: ask for less from now on, where that can be."""
        ...

    def rest(self, result: NDArray[np.uint8], letterboxes: Letterboxes) -> list[slice]:
        """Which other bytes of the result are to be copied, once the head is there."""
        ...

    def read(
        self, result: NDArray[np.uint8], letterboxes: Letterboxes, settings: DecodeSettings
    ) -> list[Result]:
        """The results, which may show `result` itself.

        Args:
            result: uint8 [result_bytes], laid out as on the device.
            letterboxes, settings: as given to `enqueue`.
        """
        ...


def device_decoder(
    launcher: Launcher, spec: ModelSpec, outputs: Sequence[TensorSpec], *, pictures: bool = False
) -> DeviceDecoder | None:
    """The GPU's decoder of a model; None if it has to be decoded on the CPU.

    Args:
        launcher: of the GPU.
        spec: the model.
        outputs: the network's outputs, with the extents of one batch.
        pictures: whether class maps bring their colours, and masks their id image.

    Raises:
        ModelSpecError, ModelOutputError: as `decoding.registry.decoder_for`.
    """
    decoder = decoder_for(spec, outputs)
    shapes = {output.name: output for output in outputs}
    if isinstance(decoder, SemanticDecoder):
        return _semantic(launcher, decoder, spec, shapes[decoder.output], pictures)
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
    masks = InstanceMaskKernels(launcher, head, grid, id_image=pictures)
    return DeviceInstances(head, masks, decoder)


def _semantic(
    launcher: Launcher,
    decoder: SemanticDecoder,
    spec: ModelSpec,
    output: TensorSpec,
    pictures: bool,
) -> DeviceClassMaps | None:
    layout = GridLayout(len(spec.classes), (output.shape[-1], output.shape[-2]), output.dtype)
    if decoder.is_binary or layout.classes > UNLABELLED or str(output.dtype) not in TYPES:
        return None
    colors = class_colors(spec.classes) if pictures else None
    palette = None if colors is None else color_table(colors)
    return DeviceClassMaps(ClassMapKernels(launcher, layout, palette), decoder.output, colors)


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
