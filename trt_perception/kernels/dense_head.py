"""From the output of a dense head on the GPU to the objects of each image, in one copy back.

Equal to `decoding.objects` on the CPU: the same objects, numbers and order. Read
`decoding.dense_head` for the layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.kernels.launching import Extent, Launcher, aligned, blank, blocks, fill, struct
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings

MOST_IMAGES = 32
"""In one batch."""

MOST_CLASSES = 2048
MOST_DETECTIONS = 1024
"""Objects of an image that the result has room for."""

_FLOAT32 = np.dtype(np.float32)
_COUNTERS = 256
"""Bytes before an image's candidates."""

_CHUNK, _PLACED, _SHARES = 1024, 16, 32
"""Candidates that are sorted at once; how many of these a block places; threads for each."""

_BOX, _KEY, _CLASS = 16, 8, 4
"""Bytes of a candidate's parts."""

_PLACEMENT = struct(
    dict.fromkeys(('scale_x', 'scale_y', 'left', 'top', 'width', 'height'), np.float64)
)
_PARTS = ('keys', 'sorted_keys', 'boxes', 'classes', 'scored_keys')
CALL = struct(
    {
        **dict.fromkeys(('predictions', 'scratch', 'result'), np.uint64),
        **dict.fromkeys(('scratch_stride', 'result_stride'), np.int64),
        **dict.fromkeys(_PARTS, np.int64),
        'iou': np.float64,
        **dict.fromkeys(('anchors', 'classes_count', 'extras'), np.int32),
        **dict.fromkeys(('anchor_stride', 'value_stride'), np.int32),
        **dict.fromkeys(('objectness', 'classes_scored'), np.int32),
        **dict.fromkeys(('most_candidates', 'max_detections', 'filtered'), np.int32),
        **dict.fromkeys(('score', 'extra_limit'), np.float32),
        'wanted': (np.uint32, MOST_CLASSES // 32),
        'images': (_PLACEMENT, MOST_IMAGES),
    }
)
HEADER = struct({'count': np.int32, 'candidates': np.int32, 'unused': (np.int32, 6)})
ROW = struct(
    {
        'box': (np.float32, 4),
        'score': np.float32,
        **dict.fromkeys(('class_id', 'anchor', 'unused'), np.int32),
    }
)


@dataclass(frozen=True)
class HeadLayout:
    """What the numbers of a head are.

    Attributes:
        anchors: of one image.
        classes: scores of an anchor, at most `MOST_CLASSES`.
        extras: numbers behind the scores.
        objectness: False for [B, 4 + classes + extras, anchors]; True for
            [B, anchors, 5 + classes + extras] with an objectness behind the box.
        classes_scored: False where the objectness alone is the score.
        dtype: float32 or float16.
        extra_limit: anchors with an extra beyond it, or a NaN, are left out.
        copied_extras: whether the extras of objects come back with them.
        most_candidates: that enter suppression.
    """

    anchors: int
    classes: int
    extras: int = 0
    objectness: bool = False
    classes_scored: bool = True
    dtype: np.dtype[Any] = _FLOAT32
    extra_limit: float = float(np.finfo(np.float32).max)
    copied_extras: bool = False
    most_candidates: int = 30000

    @property
    def values(self) -> int:
        """Numbers of an anchor."""
        return 4 + self.objectness + self.classes + self.extras


@dataclass(frozen=True)
class HeadObjects:
    """The objects of one image, by falling score.

    Attributes:
        boxes: float32 [N, 4], x1 y1 x2 y2 in source pixels.
        scores: float32 [N].
        class_ids: int64 [N].
        anchors: int64 [N], where they came from.
        extras: float32 [N, extras] if they were to be copied, else [N, 0].
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    anchors: NDArray[np.int64]
    extras: NDArray[np.float32]


class DenseHeadKernels:
    """Decodes the output of one network. Used by the GPU's owner only."""

    def __init__(self, launcher: Launcher, layout: HeadLayout) -> None:
        """Prepare for one layout.

        Raises:
            ValueError: more classes than the kernels have room for, or another type.
        """
        if not 1 <= layout.classes <= MOST_CLASSES:
            raise ValueError(f'{layout.classes} classes; the kernels serve 1 to {MOST_CLASSES}')
        if layout.dtype not in (np.float32, np.float16):
            raise ValueError(f'the kernels read float32 and float16, not {layout.dtype}')
        self.layout = layout
        self._launcher = launcher
        self._scratch, self._scratch_stride = _scratch_of(layout)
        extras = layout.extras if layout.copied_extras else 0
        self.result_stride = aligned(
            HEADER.itemsize + MOST_DETECTIONS * (ROW.itemsize + 4 * extras)
        )
        self._call = lru_cache(maxsize=16)(self._fresh_call)

    def scratch_bytes(self, batch: int) -> int:
        """Device memory that the kernels work in; its content is of no use afterwards."""
        return self._scratch_stride * batch

    def result_bytes(self, batch: int) -> int:
        """Device memory of the result. Image i begins at i * `result_stride`."""
        return self.result_stride * batch

    def enqueue(
        self,
        predictions: int,
        letterboxes: Sequence[Letterbox],
        settings: DecodeSettings,
        scratch: int,
        result: int,
        stream: Any,
    ) -> None:
        """Decode a batch.

        Args:
            predictions: address of the network's output.
            letterboxes: how each image was placed in the network's input.
            settings: thresholds and class filter.
            scratch, result: addresses, aligned to 256 bytes.
            stream: in which the kernels run; nothing waits for the host.

        Raises:
            ValueError: more images than `MOST_IMAGES`, or more objects asked for than
                `MOST_DETECTIONS`.
        """
        call = self._call(predictions, tuple(letterboxes), settings, scratch, result)
        layout, batch = self.layout, len(letterboxes)
        limited = layout.anchors > layout.most_candidates
        candidates = min(layout.anchors, layout.most_candidates)
        width = 8 if layout.objectness else 32
        head = 'scores_objectness' if layout.objectness else 'scores'
        launches: list[tuple[str, Extent, int]] = [
            ('begin', (batch, 1, 1), 32),
            (f'{head}_{layout.dtype}', (blocks(layout.anchors, width), batch, 1), 256),
        ]
        if limited:
            every = (blocks(layout.anchors, 256), batch, 1)
            launches += [('cut', (batch, 1, 1), 1024), (f'accept_{layout.dtype}', every, 256)]
        launches.append(('sort', (blocks(candidates, _PLACED), batch, 1), _PLACED * _SHARES))
        if candidates > _CHUNK:
            launches.append(('merge', (blocks(candidates, 256), batch, 1), 256))
        launches.append(('suppress', (batch, 1, 1), 1024))
        if layout.copied_extras:
            launches.append((f'extras_{layout.dtype}', (settings.max_detections, batch, 1), 64))
        for kernel, grid, threads in launches:
            name = f'head_{kernel}'
            self._launcher.launch('dense_head', name, grid, (threads, 1, 1), call, stream)

    def read(self, result: NDArray[np.uint8], batch: int) -> list[HeadObjects]:
        """The objects of each image.

        Args:
            result: uint8 [result_bytes], copied back; may be reused afterwards.
            batch: images.
        """
        return [self._read(result[i * self.result_stride :]) for i in range(batch)]

    def _read(self, result: NDArray[np.uint8]) -> HeadObjects:
        count = int(result[: HEADER.itemsize].view(HEADER)[0]['count'])
        rows = result[HEADER.itemsize :][: count * ROW.itemsize].view(ROW)
        extras = self.layout.extras if self.layout.copied_extras else 0
        start = HEADER.itemsize + MOST_DETECTIONS * ROW.itemsize
        values = result[start : start + count * extras * 4].view(np.float32)
        return HeadObjects(
            rows['box'].copy(),
            rows['score'].copy(),
            rows['class_id'].astype(np.int64),
            rows['anchor'].astype(np.int64),
            values.reshape(count, extras).copy(),
        )

    def _fresh_call(
        self,
        predictions: int,
        letterboxes: tuple[Letterbox, ...],
        settings: DecodeSettings,
        scratch: int,
        result: int,
    ) -> np.void:
        if len(letterboxes) > MOST_IMAGES:
            raise ValueError(f'{len(letterboxes)} images; a batch has at most {MOST_IMAGES}')
        if not 1 <= settings.max_detections <= MOST_DETECTIONS:
            raise ValueError(
                f'max_detections is {settings.max_detections}; on the GPU it is 1 to '
                f'{MOST_DETECTIONS}'
            )
        layout = self.layout
        call = blank(CALL)
        addresses = {'predictions': predictions, 'scratch': scratch, 'result': result}
        strides = {'scratch_stride': self._scratch_stride, 'result_stride': self.result_stride}
        fill(call, {**addresses, **strides, **self._scratch})
        apart = (layout.values, 1) if layout.objectness else (1, layout.anchors)
        fill(
            call,
            {
                **{'anchors': layout.anchors, 'classes_count': layout.classes},
                **{'extras': layout.extras, 'extra_limit': layout.extra_limit},
                **{'anchor_stride': apart[0], 'value_stride': apart[1]},
                **{'objectness': layout.objectness, 'classes_scored': layout.classes_scored},
                **{'most_candidates': layout.most_candidates, 'iou': settings.iou},
                **{'score': settings.score, 'max_detections': settings.max_detections},
                'filtered': settings.class_filter is not None,
            },
        )
        call['wanted'][:] = class_bits(settings.class_filter, MOST_CLASSES)
        for record, letterbox in zip(call['images'], letterboxes, strict=False):
            fill(record, _placement(letterbox))
        return call


def class_bits(class_filter: frozenset[int] | None, most: int) -> NDArray[np.uint32]:
    """uint32 [most / 32], a bit for each class that is wanted."""
    bits = np.zeros(most, np.bool_)
    wanted = range(most) if class_filter is None else [c for c in class_filter if 0 <= c < most]
    bits[list(wanted)] = True
    return np.packbits(bits, bitorder='little').view('<u4')


def _placement(letterbox: Letterbox) -> dict[str, float]:
    return {
        **dict(zip(('scale_x', 'scale_y'), letterbox.scale, strict=True)),
        **dict(zip(('left', 'top'), letterbox.offset, strict=True)),
        **dict(zip(('width', 'height'), letterbox.source, strict=True)),
    }


def _scratch_of(layout: HeadLayout) -> tuple[dict[str, int], int]:
    """Where the parts of an image's scratch begin, and its bytes."""
    candidates = min(layout.anchors, layout.most_candidates)
    scored = layout.anchors if layout.anchors > layout.most_candidates else 0
    sizes = {
        **dict.fromkeys(('keys', 'sorted_keys'), candidates * _KEY),
        **{'boxes': layout.anchors * _BOX, 'classes': layout.anchors * _CLASS},
        'scored_keys': scored * _KEY,
    }
    starts = {}
    end = _COUNTERS
    for name, nbytes in sizes.items():
        starts[name] = end
        end += aligned(nbytes)
    return starts, end
