"""Masks as run lengths in the text form of the COCO tools.

Runs of pixels outside and inside the mask take turns, column by column from the left, and the
first run is outside. Each length, from the fourth on as its difference to the one two before, is
written in groups of five bits from the lowest on, a sixth bit saying that more follow; 48 is
added to make a printable character. Method: pycocotools, common/maskApi.c (rleToString).
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from trt_perception.results import InstanceMask


class RunLengths(TypedDict):
    """A mask as JSON: `size` is [height, width] of the image, `counts` its run lengths."""

    size: list[int]
    counts: str


def encode_mask(mask: InstanceMask, size: tuple[int, int]) -> RunLengths:
    """Write a mask, which must lie in the image.

    Args:
        mask: cut out to its box.
        size: (width, height) of the image.
    """
    width, height = size
    return {'size': [height, width], 'counts': _to_text(_runs(mask, width, height))}


def decode_mask(encoded: RunLengths) -> NDArray[np.bool_]:
    """bool [H, W] from what `encode_mask` or the COCO tools wrote.

    Raises:
        ValueError: the run lengths do not fill the image.
    """
    height, width = encoded['size']
    runs = _from_text(encoded['counts'])
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(f'run lengths add up to {sum(runs)}, the image has {height * width}')
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def _runs(mask: InstanceMask, width: int, height: int) -> list[int]:
    rows, columns = mask.bits.shape
    # An empty row above and below makes every run begin and end within its column.
    framed = np.zeros((columns, rows + 2), np.int8)
    framed[:, 1:-1] = mask.bits.T
    column, row = np.nonzero(np.diff(framed, axis=1))
    edges = (mask.x + column) * height + mask.y + row
    # A run over the image's lower edge goes on at the top of the next column.
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    return [int(run) for run in np.diff(edges, prepend=0, append=width * height)]


def _to_text(runs: list[int]) -> str:
    if len(runs) > 1 and runs[-1] == 0:
        runs = runs[:-1]
    characters = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            characters.append(chr((group | 0x20 if more else group) + 48))
    return ''.join(characters)


def _from_text(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
