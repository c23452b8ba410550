"""What a network on the GPU takes: the image, and rows that are the same for every image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.gpu.device import Gpu
from trt_perception.preprocessing.letterbox import Size
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.device_protocol import Shapes


class DeviceInputs:
    """Inputs of a network since it was loaded.

    Attributes:
        image: the tensor of the images, [B, 3, h, w].
    """

    def __init__(
        self, network: DeviceNetwork, size: Size, rows: Mapping[str, NDArray[Any]]
    ) -> None:
        """Place nothing yet.

        Args:
            network: on the GPU.
            size: width and height of its image.
            rows: what its other inputs hold; see `side_inputs_for`.
        """
        (self.image,) = (tensor for tensor in network.inputs if tensor.name not in rows)
        self._network = network
        self._size = size
        self._rows = rows
        self._shapes: dict[int, Shapes] = {}
        self._rows_at: tuple[object, ...] = ()

    def shapes(self, batch: int) -> Shapes:
        """The same object for the same batch; see `DeviceNetwork.place`."""
        if batch not in self._shapes:
            width, height = self._size
            rows = {name: (batch, *row.shape[1:]) for name, row in self._rows.items()}
            self._shapes[batch] = {self.image.name: (batch, 3, height, width), **rows}
        return self._shapes[batch]

    def place(self, gpu: Gpu, batch: int) -> tuple[Shapes, dict[str, int]]:
        """Shapes and addresses of all the network's tensors; the rows are there.

        In the owner's thread.

        Raises:
            GpuMemoryError: see `DeviceNetwork.place`.
        """
        shapes, tensors = self._network.place(self.shapes(batch))
        if self._rows:
            self._fill_rows(gpu, batch, tensors)
        return shapes, tensors

    def _fill_rows(self, gpu: Gpu, batch: int, tensors: dict[str, int]) -> None:
        place = (batch, *(tensors[name] for name in self._rows))
        if place == self._rows_at:
            return
        gpu.driver.Context.synchronize()  # a batch under way still reads what was there
        for name, row in self._rows.items():
            gpu.driver.memcpy_htod(tensors[name], np.repeat(row, batch, axis=0))
        # Out of ordinary memory a copy may still be on its way, and our streams do not wait for it.
        gpu.driver.Context.synchronize()
        self._rows_at = place
