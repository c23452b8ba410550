"""Semantic maps, decoded on the GPU; see `decoders.DeviceDecoder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.kernels.class_map import ClassMapKernels
from trt_perception.kernels.launching import aligned
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import ColoredMap, DecodeSettings, Result, SegmentationMap

Letterboxes = Sequence[Letterbox]


@dataclass(frozen=True)
class _Places:
    """Where what belongs to one image lies in the result, as first bytes; and its end."""

    ids: int
    colours: int
    end: int


class DeviceClassMaps:
    """Semantic maps; see `DeviceDecoder`."""

    def __init__(
        self, kernels: ClassMapKernels, output: str, colors: NDArray[np.uint8] | None = None
    ) -> None:
        """For one network.

        Args:
            kernels: for its output; with the palette that belongs to `colors`, if any.
            output: its name.
            colors: uint8 [N, 3] RGB, one per class, in which the maps come too. None: they do not.
        """
        self._kernels = kernels
        self._output = output
        self._colors = colors

    def scratch_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._kernels.scratch_bytes(letterboxes)

    def result_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self._places(letterboxes)[-1].end

    def head_bytes(self, letterboxes: Letterboxes) -> int:
        """See `DeviceDecoder`."""
        return self.result_bytes(letterboxes)

    def _places(self, letterboxes: Letterboxes) -> list[_Places]:
        places, end = [], 0
        for letterbox in letterboxes:
            area = letterbox.source[0] * letterbox.source[1]
            colours = end + aligned(area)
            after = colours if self._colors is None else colours + aligned(3 * area)
            places.append(_Places(end, colours, after))
            end = after
        return places

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
        places = self._places(letterboxes)
        ids = [result + place.ids for place in places]
        colours = [0 if self._colors is None else result + place.colours for place in places]
        cells, class_filter = outputs[self._output], settings.class_filter
        self._kernels.enqueue(cells, letterboxes, class_filter, scratch, ids, colours, stream)

    def ask_less(self) -> None:
        """See `DeviceDecoder`. Never more is asked for than is needed."""

    def rest(self, result: NDArray[np.uint8], letterboxes: Letterboxes) -> list[slice]:
        """See `DeviceDecoder`."""
        return []

    def read(
        self, result: NDArray[np.uint8], letterboxes: Letterboxes, settings: DecodeSettings
    ) -> list[Result]:
        """See `DeviceDecoder`."""
        maps: list[Result] = []
        for place, letterbox in zip(self._places(letterboxes), letterboxes, strict=True):
            width, height = letterbox.source
            ids = result[place.ids :][: width * height].reshape(height, width)
            colored = None
            if self._colors is not None:
                pixels = result[place.colours :][: 3 * width * height].reshape(height, width, 3)
                colored = ColoredMap(pixels, ids, self._colors)
            maps.append(SegmentationMap(ids, colored))
        return maps
