"""What a network on the GPU offers to the device pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from trt_perception.gpu.cuda_driver import Stream
from trt_perception.gpu.device import Gpu
from trt_perception.runtime.layer_times import LayerTime
from trt_perception.runtime.protocol import LoadedNetwork

Shapes = Mapping[str, tuple[int, ...]]
"""By the name of the input or output."""


class DeviceRuntime(LoadedNetwork, Protocol):
    """A network that is loaded on the GPU and works in one stream.

    Made, used and closed in the GPU owner's thread. Nothing here waits for the GPU but `shapes`
    and `bind`.
    """

    def shapes(self, inputs: Shapes) -> Shapes:
        """The shapes of all inputs and outputs, for those of the inputs.

        Raises:
            InferenceError: the network does not take them.
        """
        ...

    def bind(self, inputs: Shapes, addresses: Mapping[str, int]) -> None:
        """Set what `enqueue` works on.

        Binding the same again costs next to nothing. For each shape a graph of the launches may
        be kept, which other addresses make useless.

        Args:
            inputs: the shapes of all inputs.
            addresses: on the device, of every input and output by name; each is contiguous.

        Raises:
            InferenceError: the network does not take them.
        """
        ...

    def enqueue(self) -> None:
        """Queue one run with what was bound last, in the runtime's stream.

        Raises:
            InferenceError: the backend failed.
        """
        ...

    def close(self) -> None:
        """Free what the network holds."""
        ...


@runtime_checkable
class Profiled(Protocol):
    """A `DeviceRuntime` that can say how long its layers take."""

    def layers(self, runs: int) -> list[LayerTime]:
        """With what was bound last."""
        ...


def shape_key(inputs: Shapes) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What tells one set of shapes from another."""
    return tuple(sorted(inputs.items()))


OpenDevice = Callable[[Gpu, Stream], DeviceRuntime]
"""Loads a network that will work in a stream. Called in the owner's thread."""
