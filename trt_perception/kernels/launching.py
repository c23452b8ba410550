"""How kernels are started: by name, with one struct of parameters, on a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trt_perception.kernels.compiling import Capability, compiled

Extent = tuple[int, int, int]


class Launcher(Protocol):
    """Starts kernels. Belongs to the thread that owns the GPU."""

    def launch(
        self, source: str, kernel: str, grid: Extent, threads: Extent, call: np.void, stream: Any
    ) -> None:
        """Put a kernel into a stream.

        Args:
            source: one of `compiling.SOURCES`.
            kernel: its name there.
            grid: blocks along x, y and z.
            threads: of a block, along x, y and z.
            call: its parameters, which are copied before this returns.
            stream: in which it runs.
        """
        ...

    def keep(self, data: NDArray[Any]) -> int:
        """Copy an array to the GPU for good; gives its address. Waits for the copy."""
        ...


class DeviceKernels:
    """The launcher of a GPU, by pycuda.

    Made and used with the GPU's context current. Sources are compiled when one of their kernels
    is first started: start each once before a CUDA graph is captured.
    """

    def __init__(self, driver: Any, capability: Capability, folder: Path | None = None) -> None:
        """Compile nothing yet.

        Args:
            driver: the module pycuda.driver.
            capability: the GPU's compute capability.
            folder: where compiled kernels are kept; None is the default one.
        """
        self._driver = driver
        self._capability = capability
        self._folder = folder
        self._modules: dict[str, Any] = {}
        self._functions: dict[str, Any] = {}
        self._kept: list[Any] = []

    def load(self, sources: Sequence[str]) -> None:
        """Compile and load these sources now.

        Raises:
            KernelError: the compiler refuses.
            MissingDependencyError: there is no compiler.
        """
        for source in sources:
            if source not in self._modules:
                cubin = compiled(source, self._capability, self._folder)
                self._modules[source] = self._driver.module_from_buffer(cubin)

    def launch(
        self, source: str, kernel: str, grid: Extent, threads: Extent, call: np.void, stream: Any
    ) -> None:
        """See `Launcher`."""
        function = self._functions.get(kernel)
        if function is None:
            self.load([source])
            function = self._modules[source].get_function(kernel)
            function.prepare([f'{call.dtype.itemsize}s'])
            self._functions[kernel] = function
        # As bytes: of a struct, pycuda would describe every field anew with each launch.
        function.prepared_async_call(grid, threads, stream, call.tobytes())

    def keep(self, data: NDArray[Any]) -> int:
        """See `Launcher`."""
        memory = self._driver.to_device(np.ascontiguousarray(data))
        self._kept.append(memory)
        # Out of ordinary memory the copy may still be on its way, and streams do not wait for it.
        self._driver.Context.synchronize()
        return int(memory)

    def close(self) -> None:
        """Free what was kept and unload the kernels."""
        for memory in self._kept:
            memory.free()
        self._kept.clear()
        self._functions.clear()
        self._modules.clear()


def struct(fields: Mapping[str, Any]) -> np.dtype[np.void]:
    """A C struct as a NumPy type; a pair of a type and a number is an array."""
    described: list[Any] = [
        (name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in fields.items()
    ]
    return np.dtype(described, align=True)


def blank(dtype: np.dtype[np.void]) -> np.void:
    """A struct of zeros, whose fields can be set."""
    record: np.void = np.zeros(1, dtype)[0]
    return record


def fill(record: Any, values: Mapping[str, Any]) -> None:
    """Set fields of a record."""
    for name, value in values.items():
        record[name] = value


def blocks(count: int, size: int) -> int:
    """How many blocks of `size` it takes for `count`."""
    return -(-count // size)


def aligned(nbytes: int) -> int:
    """Bytes in whole steps of 256, to which the GPU's memory is aligned."""
    return blocks(nbytes, 256) * 256
