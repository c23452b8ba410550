"""What CUDA's errors mean to whoever handed the GPU its work."""

from __future__ import annotations

from trt_perception.errors import (
    DeviceLostError,
    GpuMemoryError,
    InferenceError,
    PerceptionError,
)
from trt_perception.gpu.cuda_driver import Driver


def explained(driver: Driver, error: BaseException) -> BaseException:
    """The package's error for one of CUDA's that left the context usable; any other as it is."""
    if isinstance(error, PerceptionError) or not isinstance(error, driver.Error):
        return error
    if isinstance(error, driver.MemoryError):
        return GpuMemoryError(
            f'the GPU has no room: {error}. End other programs on it (see `nvidia-smi`), or '
            'use smaller images, fewer cameras or a smaller network'
        )
    return InferenceError(f'CUDA failed: {error}')


def lost_gpu(why: str) -> DeviceLostError:
    """The error for all work after the context was lost."""
    return DeviceLostError(
        f'the GPU stopped working for this process: {why}. If it happens again, '
        'look for Xid in the kernel log (`dmesg`) and run `trt_perception selftest`'
    )
