"""Semantic maps, decoded on the GPU; see `decoders.DeviceDecoder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.kernels.class_map import ClassMapKernels
from trt_perception.kernels.launching import aligned
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings, Result, SegmentationMap

Letterboxes = Sequence[Letterbox]


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
            starts.append(starts[-1] + aligned(letterbox.source[0] * letterbox.source[1]))
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
            maps.append(SegmentationMap(ids))
        return maps
