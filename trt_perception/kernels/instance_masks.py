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
from trt_perception.kernels.launching import Extent, Launcher, blank, blocks, fill, struct
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import InstanceMask

MOST_IMAGES = 16
"""In one launch; larger batches take several."""

MOST_CHANNELS = 256

_THREADS = 256
_COLUMNS, _ROWS = 64, 16
_DRAWING = 512
"""Blocks that share the drawing of an image's masks."""

_ALIGNMENT = 256

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
TOTAL = struct({'bytes': np.int64, 'tiles': np.int32, 'unused': np.int32})
CUT = struct(
    {
        **dict.fromkeys(('x', 'y', 'width', 'height'), np.int32),
        'offset': np.int64,
        **dict.fromkeys(('first_tile', 'unused'), np.int32),
    }
)


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
    """Where the parts of one image lie in its part of the result.

    Attributes:
        cuts: first byte of the masks' places; before them stands their total.
        ids: first byte of the id image, uint16 [H, W]; behind the masks' places.
        arena: first byte of the masks.
        arena_bytes: room for them.
    """

    cuts: int
    ids: int
    arena: int
    arena_bytes: int

    @classmethod
    def of(cls, letterbox: Letterbox, arena_bytes: int, *, id_image: bool) -> MaskLayout:
        """For an image of the letterbox's source."""
        cuts = TOTAL.itemsize
        ids = _aligned(cuts + MOST_DETECTIONS * CUT.itemsize)
        width, height = letterbox.source
        arena = ids + (_aligned(2 * width * height) if id_image else 0)
        return cls(cuts, ids, arena, _aligned(arena_bytes))

    @property
    def nbytes(self) -> int:
        """Bytes of the image's part."""
        return self.arena + self.arena_bytes


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
        return sum(_aligned(places_bytes(letterbox)) for letterbox in letterboxes)

    def enqueue(
        self,
        addresses: tuple[int, int, int],
        letterboxes: Sequence[Letterbox],
        layouts: Sequence[MaskLayout],
        scratch: int,
        results: Sequence[int],
        stream: Any,
    ) -> None:
        """Draw the masks of a batch, behind `DenseHeadKernels.enqueue` in the same stream.

        Args:
            addresses: of the predictions, the prototypes and the head's result.
            letterboxes: how each image was placed in the network's input.
            layouts: of each image's result.
            scratch: address of `scratch_bytes`, aligned to 256 bytes.
            results: address of each image's part, `MaskLayout.nbytes`, aligned to 256 bytes.
            stream: in which the kernels run.
        """
        for start in range(0, len(letterboxes), MOST_IMAGES):
            part = slice(start, start + MOST_IMAGES)
            some = tuple(letterboxes[part])
            call = self._call(
                addresses, start, some, tuple(layouts[part]), scratch, tuple(results[part])
            )
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
        results: tuple[int, ...],
    ) -> np.void:
        layout, size = self._head.layout, self._prototypes.size
        predictions, prototypes, objects = addresses
        number = layout.dtype.itemsize
        call = blank(CALL)
        apart = (layout.values, 1) if layout.objectness else (1, layout.anchors)
        fill(call, {'channels': layout.extras, 'anchor_stride': apart[0]})
        call['value_stride'] = apart[1]
        before = layout.values - layout.extras
        for i, (letterbox, part, result) in enumerate(
            zip(letterboxes, layouts, results, strict=True)
        ):
            record, image = call['images'][i], first + i
            fill_grid(record['grid'], letterbox, size, scratch)
            scratch += _aligned(places_bytes(letterbox))
            numbers = image * layout.anchors * layout.values + before * apart[1]
            cells = image * layout.extras * size[0] * size[1]
            fill(
                record,
                {
                    'prototypes': prototypes + cells * number,
                    'coefficients': predictions + numbers * number,
                    'objects': objects + image * self._head.result_stride,
                    **{'total': result, 'cuts': result + part.cuts, 'ids': result + part.ids},
                    **{'arena': result + part.arena, 'arena_bytes': part.arena_bytes},
                },
            )
        return call


def bytes_needed(result: NDArray[np.uint8]) -> int:
    """Bytes that the masks of an image take; more than the arena has if it is too small.

    Args:
        result: uint8, the image's part, at least its first bytes.
    """
    return int(result[: TOTAL.itemsize].view(TOTAL)[0]['bytes'])


def read_masks(result: NDArray[np.uint8], layout: MaskLayout, count: int) -> list[InstanceMask]:
    """The masks of an image's objects, copied.

    Args:
        result: uint8, the image's part, with the arena as far as it is used.
        layout: of this part.
        count: objects.

    Raises:
        ValueError: the arena had no room for one of them.
    """
    cuts = result[layout.cuts :][: count * CUT.itemsize].view(CUT)
    masks = []
    for x, y, width, height, offset, _, _ in cuts.tolist():
        if offset < 0:
            raise ValueError('the arena has no room for all masks')
        start = layout.arena + offset
        bits = result[start : start + width * height].view(np.bool_).reshape(height, width)
        if not bits.size:
            bits = np.zeros((0, 0), np.bool_)
        masks.append(InstanceMask(x, y, bits.copy()))
    return masks


def read_ids(
    result: NDArray[np.uint8], layout: MaskLayout, letterbox: Letterbox
) -> NDArray[np.uint16]:
    """uint16 [H, W], as `Detections.id_image`; copied."""
    width, height = letterbox.source
    ids = result[layout.ids :][: 2 * width * height].view(np.uint16)
    return ids.reshape(height, width).copy()


def _aligned(nbytes: int) -> int:
    return blocks(nbytes, _ALIGNMENT) * _ALIGNMENT
