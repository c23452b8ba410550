"""The CUDA driver API as this package uses it: pycuda, found and asked what it offers.

Everything below takes the module as an argument, so that a stand-in can take its place.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from trt_perception.errors import BackendUnavailableError, GpuMemoryError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trt_perception.gpu.host_copy import Rows

Driver: TypeAlias = Any
"""The module `pycuda.driver`, which brings no types."""

Stream: TypeAlias = Any
"""`pycuda.driver.Stream`; its `handle` is the CUstream as an int."""

Event: TypeAlias = Any
"""`pycuda.driver.Event`."""

PYCUDA_REMEDY = 'pycuda is not installed: python3 -m pip install "pycuda>=2025.1.2"'

OLDEST_CAPABILITY = (7, 5)
"""Of the GPUs that the kernels are compiled for and that any supported TensorRT serves."""


def import_pycuda() -> Driver:
    """The module pycuda.driver, ready for use.

    Raises:
        BackendUnavailableError: it is not installed, or CUDA does not start.
    """
    try:
        import pycuda.driver as cuda
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(PYCUDA_REMEDY) from error
    except ImportError as error:
        raise BackendUnavailableError(
            f'pycuda is installed, but does not start: {error}. It needs the driver of an NVIDIA '
            'GPU, and must have been built for the installed CUDA'
        ) from error
    return started(cuda)


def started(driver: Driver) -> Driver:
    """The driver after `cuInit`.

    Raises:
        BackendUnavailableError: there is no driver in the kernel, or no GPU.
    """
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise BackendUnavailableError(
            f'CUDA does not start: {error}. `trt_perception doctor` says what is missing'
        ) from error
    if count < 1:
        raise BackendUnavailableError(
            'CUDA sees no GPU. Check `nvidia-smi` and the variable CUDA_VISIBLE_DEVICES'
        )
    return driver


def device_of(driver: Driver, ordinal: int) -> Any:
    """A GPU, by its number in CUDA's order.

    Raises:
        BackendUnavailableError: there is none of this number, or it is too old.
    """
    try:
        device = driver.Device(ordinal)
        capability = tuple(device.compute_capability())
        name = device.name()
    except driver.Error as error:
        raise BackendUnavailableError(
            f'CUDA does not give GPU {ordinal}: {error}. Check CUDA_VISIBLE_DEVICES'
        ) from error
    if capability < OLDEST_CAPABILITY:
        have, need = ('.'.join(map(str, c)) for c in (capability, OLDEST_CAPABILITY))
        raise BackendUnavailableError(
            f'{name} has compute capability {have}; {need} is the oldest that is supported. '
            'Use backend:=onnxruntime-cpu'
        )
    return device


def retained_context(driver: Driver, device: Any) -> Any:
    """The primary context of a GPU, which all libraries of the process share.

    Raises:
        BackendUnavailableError: it cannot be had.
    """
    try:
        return device.retain_primary_context()
    except driver.Error as error:
        raise BackendUnavailableError(
            f'{device.name()} gives no context: {error}. Other programs may have filled its '
            'memory or hold it alone; see `nvidia-smi` and `trt_perception doctor`'
        ) from error


@contextlib.contextmanager
def current(context: Any) -> Iterator[None]:
    """Within it, the context is that of the thread."""
    context.push()
    try:
        yield
    finally:
        context.pop()


@dataclass(frozen=True)
class Room:
    """Memory of the GPU, in bytes."""

    free: int
    total: int


def room_of(driver: Driver) -> Room:
    """What is free on the GPU of the current context."""
    free, total = driver.mem_get_info()
    return Room(int(free), int(total))


def no_room(driver: Driver, what: str, nbytes: int, error: Exception) -> GpuMemoryError:
    """The error for an allocation that failed.

    Args:
        driver: with the context current.
        what: the memory is for.
        nbytes: how much was asked for.
        error: what CUDA said.
    """
    try:
        room = room_of(driver)
        state = f'{_mebibytes(room.free)} of {_mebibytes(room.total)} are free'
    except driver.Error:
        state = 'how much is free is unknown'
    return GpuMemoryError(
        f'the GPU has no room for {_mebibytes(nbytes)} of {what}: {error}; {state}. End other '
        'programs on it (see `nvidia-smi`), or use smaller images, fewer cameras or a smaller '
        'network'
    )


def copy_rows_in(
    driver: Driver, address: int, data: NDArray[np.uint8], rows: Rows, stream: Stream
) -> None:
    """Queue a copy of rows that lie apart to the GPU.

    Args:
        driver: with the context current.
        address: of the first row there.
        data: uint8 [n], page-locked, from the first row on.
        rows: how they lie.
        stream: for the copy.
    """
    copy = driver.Memcpy2D()
    copy.set_src_host(data)
    copy.set_dst_device(address)
    copy.height, copy.width_in_bytes, copy.src_pitch, copy.dst_pitch = rows
    copy(stream)


def reset_primary_context(ordinal: int, library: str = 'libcuda.so.1') -> int:
    """Destroy what is left of a GPU's primary context in this process, after a fault.

    pycuda has no call for it. All that lived in the context is gone, whoever made it.

    Returns:
        CUDA's status; 0 if it worked.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return -1
    device = ctypes.c_int()
    status = cuda.cuDeviceGet(ctypes.byref(device), ordinal)
    return int(status or cuda.cuDevicePrimaryCtxReset_v2(device))


class HostLock:
    """Page-locks ordinary memory, in a thread that has the context.

    pycuda's own call for it, `register_host_memory`, fails with NumPy 2.
    """

    def __init__(self, library: str = 'libcuda.so.1') -> None:
        """Load nothing before the first use."""
        self._library = library

    def lock(self, address: int, nbytes: int) -> bool:
        """Lock memory that begins and ends with a page; False if CUDA refuses."""
        try:
            cuda = ctypes.CDLL(self._library)
        except OSError:
            return False
        call = cuda.cuMemHostRegister_v2
        return not call(ctypes.c_void_p(address), ctypes.c_size_t(nbytes), ctypes.c_uint(0))

    def unlock(self, address: int) -> None:
        """Undo `lock`; what a lost context had locked is unlocked already."""
        ctypes.CDLL(self._library).cuMemHostUnregister(ctypes.c_void_p(address))


def _mebibytes(nbytes: int) -> str:
    return f'{nbytes / (1 << 20):.1f} MiB'
