"""Instance masks at the source's size, from prototypes and the objects of a dense head.

Equal to `decoding.instance_masks` on the CPU, but for pixels whose logit is 0 up to rounding: the
order in which NumPy sums depends on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.kernels.dense_head import MOST_DETECTIONS, DenseHeadKernels
from trt_perception.kernels.grid_axes import GRID, fill_grid, places_bytes
from trt_perception.kernels.launching import Extent, Launcher, aligned, blank, blocks, fill, struct
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import InstanceMask

MOST_IMAGES = 16
"""In one launch; larger batches take several."""

MOST_CHANNELS = 256

_THREADS = 256
_BOOL = np.dtype(np.bool_)
_COLUMNS, _ROWS = 64, 16
_DRAWING = 1024
"""Blocks that share the drawing of an image's masks."""


_IMAGE = struct(
    {
        'grid': GRID,
        **dict.fromkeys(('prototypes', 'coefficients', 'objects'), np.uint64),
        **dict.fromkeys(('total', 'cuts', 'arena', 'ids'), np.uint64),
        'arena_bytes': np.int64,
    }
)
CALL = struct(
    {
        **dict.fromkeys(('channels', 'anchor_stride', 'value_stride', 'unused'), np.int32),
        'images': (_IMAGE, MOST_IMAGES),
    }
)
TOTAL = struct(
    {
        **dict.fromkeys(('bytes', 'room'), np.int64),
        **dict.fromkeys(('tiles', 'unused'), np.int32),
        'rim': np.int64,
    }
)
CUT = struct(
    {
        **dict.fromkeys(('x', 'y', 'width', 'height'), np.int32),
        'offset': np.int64,
        **dict.fromkeys(('first_tile', 'unused'), np.int32),
    }
)

HEAD_BYTES = TOTAL.itemsize + MOST_DETECTIONS * CUT.itemsize + 224
"""Of one image's total and places, in whole steps of 256 bytes."""


@dataclass(frozen=True)
class Prototypes:
    """The network's second output.

    Attributes:
        channels: at most `MOST_CHANNELS`.
        size: (width, height) of the grid, which covers the network's input.
    """

    channels: int
    size: tuple[int, int]


@dataclass(frozen=True)
class MaskLayout:
    """Where what belongs to one image lies in the result, as first bytes.

    Attributes:
        total: what all masks of the image need.
        cuts: the masks' places.
        ids: the id image, uint16 [H, W]; of no bytes unless it is made.
        arena: the masks, behind the id image.
        arena_bytes: room for them.
    """

    total: int
    cuts: int
    ids: int
    arena: int
    arena_bytes: int


def mask_layouts(
    letterboxes: Sequence[Letterbox], start: int, arena_bytes: Sequence[int], *, id_image: bool
) -> tuple[list[MaskLayout], int, int]:
    """Lay the results of a batch out: first what is always copied back, then the rest.

    Args:
        letterboxes: of the batch.
        start: first byte, a multiple of 256.
        arena_bytes: room for the masks of each image.
        id_image: whether there are id images.

    Returns:
        The layouts, the end of what is always copied back, and the end of all.
    """
    heads = [start + i * HEAD_BYTES for i in range(len(letterboxes))]
    end = head_end = start + len(letterboxes) * HEAD_BYTES
    layouts = []
    for head, letterbox, room in zip(heads, letterboxes, arena_bytes, strict=True):
        width, height = letterbox.source
        arena = end + (aligned(2 * width * height) if id_image else 0)
        layouts.append(MaskLayout(head, head + TOTAL.itemsize, end, arena, aligned(room)))
        end = arena + aligned(room)
    return layouts, head_end, end


class InstanceMaskKernels:
    """Draws the masks of one network. Used by the GPU's owner only."""

    def __init__(
        self,
        launcher: Launcher,
        head: DenseHeadKernels,
        prototypes: Prototypes,
        *,
        id_image: bool = False,
    ) -> None:
        """Prepare for one network.

        Args:
            launcher: of the GPU.
            head: whose objects have masks; its extras are the coefficients.
            prototypes: of the head's type.
            id_image: whether the image of the objects' ids is made too.

        Raises:
            ValueError: more channels than `MOST_CHANNELS`, or other than the head's extras.
        """
        if not 1 <= prototypes.channels <= MOST_CHANNELS:
            raise ValueError(f'{prototypes.channels} prototypes; at most {MOST_CHANNELS}')
        if prototypes.channels != head.layout.extras:
            raise ValueError(f'{prototypes.channels} prototypes, {head.layout.extras} coefficients')
        self._launcher = launcher
        self._head = head
        self._prototypes = prototypes
        self.id_image = id_image
        self._call = lru_cache(maxsize=16)(self._fresh_call)

    def scratch_bytes(self, letterboxes: Sequence[Letterbox]) -> int:
        """Device memory that the kernels work in."""
        return sum(aligned(places_bytes(letterbox)) for letterbox in letterboxes)

    def enqueue(
        self,
        addresses: tuple[int, int, int],
        letterboxes: Sequence[Letterbox],
        layouts: Sequence[MaskLayout],
        scratch: int,
        result: int,
        stream: Any,
    ) -> None:
        """Draw the masks of a batch, behind `DenseHeadKernels.enqueue` in the same stream.

        Args:
            addresses: of the predictions, the prototypes and the head's result.
            letterboxes: how each image was placed in the network's input.
            layouts: of each image's part of the result.
            scratch: address of `scratch_bytes`, aligned to 256 bytes.
            result: address of the result, aligned to 256 bytes.
            stream: in which the kernels run.
        """
        for start in range(0, len(letterboxes), MOST_IMAGES):
            part = slice(start, start + MOST_IMAGES)
            some = tuple(letterboxes[part])
            call = self._call(addresses, start, some, tuple(layouts[part]), scratch, result)
            for name, grid in self._launches(some):
                self._launcher.launch(
                    'instance_masks', f'mask_{name}', grid, (_THREADS, 1, 1), call, stream
                )
            scratch += self.scratch_bytes(some)

    def _launches(self, letterboxes: Sequence[Letterbox]) -> list[tuple[str, Extent]]:
        batch = len(letterboxes)
        widest = max(letterbox.source[0] for letterbox in letterboxes)
        highest = max(letterbox.source[1] for letterbox in letterboxes)
        longest = max(sum(letterbox.source) for letterbox in letterboxes)
        launches: list[tuple[str, Extent]] = [
            ('axes', (blocks(longest, _THREADS), batch, 1)),
            ('cuts', (batch, 1, 1)),
            (f'draw_{self._head.layout.dtype}', (_DRAWING, batch, 1)),
        ]
        if self.id_image:
            launches.append(('ids', (blocks(widest, _COLUMNS), blocks(highest, _ROWS), batch)))
        return launches

    def _fresh_call(
        self,
        addresses: tuple[int, int, int],
        first: int,
        letterboxes: tuple[Letterbox, ...],
        layouts: tuple[MaskLayout, ...],
        scratch: int,
        result: int,
    ) -> np.void:
        layout, size = self._head.layout, self._prototypes.size
        predictions, prototypes, objects = addresses
        number = layout.dtype.itemsize
        call = blank(CALL)
        apart = (layout.values, 1) if layout.objectness else (1, layout.anchors)
        fill(call, {'channels': layout.extras, 'anchor_stride': apart[0]})
        call['value_stride'] = apart[1]
        before = layout.values - layout.extras
        for i, (letterbox, part) in enumerate(zip(letterboxes, layouts, strict=True)):
            record, image = call['images'][i], first + i
            fill_grid(record['grid'], letterbox, size, scratch)
            scratch += aligned(places_bytes(letterbox))
            numbers = image * layout.anchors * layout.values + before * apart[1]
            cells = image * layout.extras * size[0] * size[1]
            fill(
                record,
                {
                    'prototypes': prototypes + cells * number,
                    'coefficients': predictions + numbers * number,
                    'objects': objects + image * self._head.result_stride,
                    **{
                        'total': result + part.total,
                        'cuts': result + part.cuts,
                        'ids': result + part.ids,
                    },
                    **{'arena': result + part.arena, 'arena_bytes': part.arena_bytes},
                },
            )
        return call


def bytes_needed(result: NDArray[np.uint8], layout: MaskLayout) -> int:
    """Bytes that the masks of an image take; more than the arena has if it is too small.

    Args:
        result: uint8, at least the head.
        layout: of the image's part.
    """
    return int(result[layout.total :][: TOTAL.itemsize].view(TOTAL)[0]['bytes'])


def rooms_of(result: NDArray[np.uint8], start: int, batch: int) -> list[int]:
    """The room for masks with which each image of a batch was laid out; see `mask_layouts`."""
    heads = result[start : start + batch * HEAD_BYTES].reshape(batch, HEAD_BYTES)
    return [int(head[: TOTAL.itemsize].view(TOTAL)[0]['room']) for head in heads]


def read_masks(result: NDArray[np.uint8], layout: MaskLayout, count: int) -> list[InstanceMask]:
    """The masks of an image's objects, as views.

    Args:
        result: uint8, with the arena as far as it is used.
        layout: of the image's part.
        count: objects.

    Returns:
        N masks; `bits` is [0, 0] where the box holds no pixel's centre, and where the arena had
        no room. It has room for the best objects first.
    """
    cuts = result[layout.cuts :][: count * CUT.itemsize].view(CUT)
    masks = []
    for x, y, width, height, offset, _, _ in cuts.tolist():
        if offset < 0 or not width:
            masks.append(InstanceMask(x, y, np.zeros((0, 0), np.bool_)))
            continue
        # In one step: a slice, its view and its new shape take twice as long.
        bits: NDArray[np.bool_] = np.ndarray((height, width), _BOOL, result, layout.arena + offset)
        masks.append(InstanceMask(x, y, bits))
    return masks


def read_ids(
    result: NDArray[np.uint8], layout: MaskLayout, letterbox: Letterbox
) -> NDArray[np.uint16]:
    """uint16 [H, W], as `Detections.id_image`; a view."""
    width, height = letterbox.source
    ids = result[layout.ids :][: 2 * width * height].view(np.uint16)
    return ids.reshape(height, width)
