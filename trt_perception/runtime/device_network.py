"""A network on the GPU, for any thread: loading, running on host arrays, closing.

The device pipeline takes its parts and goes around `infer`, which copies all tensors. `infer` is
for those who need the raw tensors: the comparison of an engine with the float32 network, and
measurements.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import GpuMemoryError, InferenceError
from trt_perception.gpu.cuda_driver import Stream
from trt_perception.gpu.device import Gpu
from trt_perception.gpu.memory import Buffers
from trt_perception.gpu.owner import GpuOwner
from trt_perception.gpu.sharing import acquire_owner, release_owner
from trt_perception.runtime.device_protocol import DeviceRuntime, OpenDevice, Shapes, shape_key
from trt_perception.runtime.protocol import Tensors


def abandon(device: DeviceRuntime) -> None:
    """Never free a network whose context is lost, not even at the end of the process.

    Its library would call a GPU that does not answer, and may then abort the process.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(device))


class DeviceNetwork:
    """Implements `runtime.protocol.Runtime` over a `DeviceRuntime`.

    Attributes:
        owner: of the GPU.
        device: the network; for work in the owner's thread only.
        stream: in which it works; likewise.
        buffers: its inputs and outputs; likewise.
        backend, precision, fingerprint, max_batch, inputs, outputs: see `protocol.Runtime`.
    """

    def __init__(
        self,
        open_device: OpenDevice,
        acquire: Callable[[], GpuOwner] = acquire_owner,
        stream_of: Callable[[Gpu], Stream] = Gpu.stream,
    ) -> None:
        """Load a network on the process's GPU.

        Args:
            open_device: loads it, or makes a further context of it; see `SharedNetwork`.
            acquire: gives the GPU's owner.
            stream_of: gives the stream in which it will work.

        Raises:
            PerceptionError: of the owner, or of `open_device`.
        """
        self._open_device = open_device
        self._acquire = acquire
        self._stream_of = stream_of
        self._closed = True
        self.open()

    def open(self) -> None:
        """Load it, for the first time or again after the GPU was lost or `close`."""
        owner = self._acquire()
        self.owner = owner
        try:
            device = owner.call(self._load)
        except BaseException:
            release_owner(owner)
            raise
        self._closed = False
        self.backend = device.backend
        self.precision = device.precision
        self.fingerprint = device.fingerprint
        self.max_batch = device.max_batch
        self.inputs = device.inputs
        self.outputs = device.outputs

    def another(self) -> DeviceNetwork:
        """The same network for another worker, opened and closed beside this one.

        Raises:
            PerceptionError: see `__init__`; such as where the GPU has no room for it.
        """
        return DeviceNetwork(self._open_device, self._acquire, self._stream_of)

    def _load(self, gpu: Gpu) -> DeviceRuntime:
        self.stream = self._stream_of(gpu)
        self.buffers: Buffers = gpu.buffers()
        self._placed: dict[object, tuple[Shapes, dict[str, int]]] = {}
        self._bound: tuple[Shapes, Shapes, dict[str, int]] | None = None
        try:
            self.device = self._open_device(gpu, self.stream)
        except BaseException:
            gpu.release(self.buffers)
            del self.stream
            raise
        return self.device

    def place(self, inputs: Shapes) -> tuple[Shapes, dict[str, int]]:
        """Shapes and addresses of all tensors, bound, for shapes of the inputs.

        In the owner's thread. Shapes are found soonest by those who give the same object again.

        Raises:
            GpuMemoryError: there is no room for one of them; smaller shapes may be placed again.
        """
        if self._bound is not None and self._bound[0] is inputs:
            return self._bound[1:]
        self._bound = None
        key = shape_key(inputs)
        if key not in self._placed:
            shapes = self.device.shapes(inputs)
            sizes = {
                spec.name: math.prod(shapes[spec.name]) * spec.dtype.itemsize
                for spec in (*self.inputs, *self.outputs)
            }
            try:
                addresses = {name: self.buffers.device(name, size) for name, size in sizes.items()}
            except GpuMemoryError:
                self._placed.clear()  # what had to grow has moved, or is gone
                raise
            if any(addresses != old for _, old in self._placed.values()):
                self._placed.clear()
            self._placed[key] = shapes, addresses
        shapes, addresses = self._placed[key]
        self.device.bind(inputs, addresses)
        self._bound = inputs, shapes, addresses
        return shapes, addresses

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """See `Runtime.infer`."""
        if self._closed:
            raise InferenceError('the network has been closed')
        return self.owner.call(lambda gpu: self._infer(gpu, inputs))

    def _infer(self, gpu: Gpu, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        shapes, addresses = self.place({name: value.shape for name, value in inputs.items()})
        for spec in self.inputs:
            value = inputs[spec.name]
            if value.dtype != spec.dtype:
                raise InferenceError(f'{spec.name} is {spec.dtype}, not {value.dtype}')
            staged = self._staged(spec.name, shapes[spec.name], spec.dtype)
            np.copyto(staged, value)
            gpu.driver.memcpy_htod_async(addresses[spec.name], staged, self.stream)
        self.device.enqueue()
        outputs = {}
        for spec in self.outputs:
            staged = self._staged(spec.name, shapes[spec.name], spec.dtype)
            gpu.driver.memcpy_dtoh_async(staged, addresses[spec.name], self.stream)
            outputs[spec.name] = staged
        self.stream.synchronize()
        return {name: staged.copy() for name, staged in outputs.items()}

    def time_ms(self, inputs: Shapes, count: int, runs: int = 1) -> list[float]:
        """Milliseconds of the network alone, from the call until the GPU is through.

        Args:
            inputs: the shapes of all inputs, whose memory is taken as it is.
            count: how many times.
            runs: so many, one after the other, are one time.
        """

        def measure(gpu: Gpu) -> list[float]:
            self.place(inputs)
            done = gpu.event()
            times = []
            for _ in range(count):
                start = time.perf_counter()
                for _ in range(runs):
                    self.device.enqueue()
                done.record(self.stream)
                done.synchronize()
                times.append((time.perf_counter() - start) * 1e3)
            return times

        return self.owner.call(measure)

    def _staged(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        nbytes = math.prod(shape) * dtype.itemsize
        return self.buffers.pinned(name, nbytes).view(dtype).reshape(shape)

    def close(self) -> None:
        """See `Runtime.close`. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self.owner.call(self._free)
        except InferenceError:  # the GPU was lost: what is left there is gone with its context
            abandon(self.device)
            del self.stream, self.device
        finally:
            release_owner(self.owner)

    def _free(self, gpu: Gpu) -> None:
        self.stream.synchronize()
        self.device.close()
        gpu.release(self.buffers)
        self._placed.clear()
        self._bound = None
        # With their last use they go, which has to be in this thread.
        del self.stream, self.device
