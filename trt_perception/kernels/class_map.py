"""Class ids and colours of every source pixel, from the logits or ids of a semantic network.

Equal to `decoding.class_map` on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.kernels.dense_head import class_bits
from trt_perception.kernels.grid_axes import GRID, fill_grid, places_bytes
from trt_perception.kernels.launching import Extent, Launcher, aligned, blank, blocks, fill, struct
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import UNLABELLED

MOST_IMAGES = 16
"""In one launch; larger batches take several."""

LOGIT_TYPES = ('float32', 'float16')
ID_TYPES = ('int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64')
TYPES = (*LOGIT_TYPES, *ID_TYPES)

_THREADS = 256
_COLUMNS, _ROWS = 64, 16
_FEW = 64
"""Threads of a block that looks at cells."""

_PARTS = ('labels', 'sizes', 'squares', 'candidates')
_ADDRESSES = ('cells', *_PARTS, 'ids', 'colours')
_IMAGE = struct({'grid': GRID, **dict.fromkeys(_ADDRESSES, np.uint64)})
CALL = struct(
    {
        'palette': np.uint64,
        **dict.fromkeys(('classes', 'unused'), np.int32),
        'wanted': (np.uint32, 8),
        'images': (_IMAGE, MOST_IMAGES),
    }
)


@dataclass(frozen=True)
class GridLayout:
    """The output of a semantic network.

    Attributes:
        classes: at most 255; of logits [B, classes, h, w].
        size: (width, height) of the grid, which covers the network's input.
        dtype: one of `LOGIT_TYPES` for logits, of `ID_TYPES` for class ids [B, h, w].
    """

    classes: int
    size: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def cells(self) -> int:
        """Of one image."""
        return self.size[0] * self.size[1]

    @property
    def squares(self) -> int:
        """Between the centres of four neighbouring cells of one image; see class_map.cu."""
        return max(self.size[0] - 1, 1) * max(self.size[1] - 1, 1)

    @property
    def are_ids(self) -> bool:
        """Whether the output holds ids."""
        return str(self.dtype) in ID_TYPES

    @property
    def image_bytes(self) -> int:
        """Of one image's output."""
        return self.cells * self.dtype.itemsize * (1 if self.are_ids else self.classes)


class ClassMapKernels:
    """Makes the class maps of one network. Used by the GPU's owner only."""

    def __init__(
        self, launcher: Launcher, layout: GridLayout, palette: NDArray[np.uint8] | None = None
    ) -> None:
        """Prepare for one network.

        Args:
            launcher: of the GPU.
            layout: of the network's output.
            palette: uint8 [256, 3], the rgb colour of each class, for pictures.

        Raises:
            ValueError: a type or number of classes that the kernels do not serve.
        """
        if str(layout.dtype) not in TYPES:
            raise ValueError(f'the kernels do not read {layout.dtype}')
        if not 1 <= layout.classes <= UNLABELLED:
            raise ValueError(f'{layout.classes} classes; the kernels serve 1 to {UNLABELLED}')
        self.layout = layout
        self._launcher = launcher
        self._palette = 0 if palette is None else launcher.keep(palette)
        self._call = lru_cache(maxsize=16)(self._fresh_call)

    def scratch_bytes(self, letterboxes: Sequence[Letterbox]) -> int:
        """Device memory that the kernels work in."""
        return sum(self._image_scratch(letterbox) for letterbox in letterboxes)

    def _image_scratch(self, letterbox: Letterbox) -> int:
        return aligned(places_bytes(letterbox)) + sum(self._parts)

    @property
    def _parts(self) -> tuple[int, ...]:
        """Bytes of each of `_PARTS`."""
        layout = self.layout
        if layout.are_ids:
            return 0, 0, 0, 0
        words = blocks(layout.classes, 32)
        sizes = layout.cells, 4 * layout.cells, 2 * layout.squares, 4 * words * layout.squares
        return tuple(aligned(size) for size in sizes)

    def enqueue(
        self,
        cells: int,
        letterboxes: Sequence[Letterbox],
        class_filter: frozenset[int] | None,
        scratch: int,
        ids: Sequence[int],
        colours: Sequence[int],
        stream: Any,
    ) -> None:
        """Make the class maps of a batch.

        Args:
            cells: address of the network's output.
            letterboxes: how each image was placed in the network's input.
            class_filter: classes that are kept; others become `UNLABELLED`. None keeps all.
            scratch: address of `scratch_bytes`, aligned to 256 bytes.
            ids: address of uint8 [H, W] for each image, aligned to 4 bytes.
            colours: address of uint8 [H, W, 3] for each image, rgb, aligned to 4 bytes; 0 for
                no picture. Needs a palette.
            stream: in which the kernels run.

        Raises:
            ValueError: pictures are asked for without a palette.
        """
        if any(colours) and not self._palette:
            raise ValueError('pictures need a palette')
        for start in range(0, len(letterboxes), MOST_IMAGES):
            part = slice(start, start + MOST_IMAGES)
            some = tuple(letterboxes[part])
            call = self._call(
                cells + start * self.layout.image_bytes,
                some,
                class_filter,
                scratch,
                tuple(ids[part]),
                tuple(colours[part]),
            )
            for name, grid, threads in self._launches(some):
                self._launcher.launch(
                    'class_map', f'class_{name}', grid, (threads, 1, 1), call, stream
                )
            scratch += self.scratch_bytes(some)

    def _launches(self, letterboxes: Sequence[Letterbox]) -> list[tuple[str, Extent, int]]:
        batch, dtype = len(letterboxes), self.layout.dtype
        widest = max(letterbox.source[0] for letterbox in letterboxes)
        highest = max(letterbox.source[1] for letterbox in letterboxes)
        longest = max(sum(letterbox.source) for letterbox in letterboxes)
        pixels = (blocks(widest, _COLUMNS), blocks(highest, _ROWS), batch)
        last = f'map_{dtype}', pixels, _THREADS
        if self.layout.are_ids:
            return [('axes', (blocks(longest, _THREADS), batch, 1), _THREADS), last]
        cells = blocks(self.layout.cells + longest, _FEW)
        squares = blocks(self.layout.squares * blocks(self.layout.classes, 32), _FEW)
        return [
            (f'labels_{dtype}', (cells, batch, 1), _FEW),
            (f'squares_{dtype}', (squares, batch, 1), _FEW),
            last,
        ]

    def _fresh_call(
        self,
        cells: int,
        letterboxes: tuple[Letterbox, ...],
        class_filter: frozenset[int] | None,
        scratch: int,
        ids: tuple[int, ...],
        colours: tuple[int, ...],
    ) -> np.void:
        layout = self.layout
        call = blank(CALL)
        fill(call, {'palette': self._palette, 'classes': layout.classes})
        known = frozenset(range(layout.classes))
        call['wanted'][:] = class_bits(known if class_filter is None else class_filter, 256)
        for i, letterbox in enumerate(letterboxes):
            record = call['images'][i]
            fill_grid(record['grid'], letterbox, layout.size, scratch)
            fill(record, {'cells': cells + i * layout.image_bytes})
            scratch += aligned(places_bytes(letterbox))
            for name, nbytes in zip(_PARTS, self._parts, strict=True):
                record[name] = scratch
                scratch += nbytes
            fill(record, {'ids': ids[i], 'colours': colours[i]})
        return call
