"""The CUDA context in which this process works.

It is the GPU's primary context, which TensorRT, onnxruntime and other libraries use as well.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from trt_perception.errors import BackendUnavailableError

PYCUDA_REMEDY = 'pycuda is not installed: python3 -m pip install "pycuda>=2025.1.2"'


def import_pycuda() -> Any:
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
    try:
        cuda.init()
    except cuda.Error as error:
        raise BackendUnavailableError(
            f'CUDA does not start: {error}. `trt_perception doctor` says what is missing'
        ) from error
    return cuda


@contextlib.contextmanager
def cuda_context() -> Iterator[None]:
    """Within, CUDA works in this thread, on the first GPU.

    The context is taken off the thread afterwards: a thread that ends with one takes the whole
    process with it.

    Raises:
        BackendUnavailableError: there is no pycuda, or no GPU.
    """
    context = _primary_context()
    context.push()
    try:
        yield
    finally:
        context.pop()


@functools.cache
def _primary_context() -> Any:
    # One for good: pycuda frees nothing under another object for the same context.
    cuda = import_pycuda()
    try:
        return cuda.Device(0).retain_primary_context()
    except cuda.Error as error:
        raise BackendUnavailableError(
            f'CUDA gives no context on its first GPU: {error}. `trt_perception doctor` says what '
            'is missing; other programs may have filled its memory'
        ) from error
