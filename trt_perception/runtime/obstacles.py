"""What stands in the way of each backend on this machine, in words, with the remedy."""

from __future__ import annotations

import importlib.util

from trt_perception.errors import BackendUnavailableError, ParameterError
from trt_perception.gpu.cuda_driver import PYCUDA_REMEDY
from trt_perception.runtime.gpu_probes import Gpu, ProbeFailed, cuda_gpus
from trt_perception.runtime.onnxruntime_library import execution_providers
from trt_perception.runtime.tensorrt_flavour import find_flavour, modules_of

ENGINE_BACKENDS = ('tensorrt', 'tensorrt-rtx')
"""Those that run engines, which have to be built; named as TensorRT's flavours."""

OLDEST_GPU = '7.5'
"""The least compute capability that any supported TensorRT serves."""

RTX_GPUS = ('7.5', '8.0', '8.6', '8.9', '12.0', '12.1')
"""Compute capabilities of the GPUs on which TensorRT-RTX 1.7 runs."""

NO_GPU = 'there is no NVIDIA GPU, or its driver is not loaded: check `nvidia-smi`'

_PROVIDERS = {
    'onnxruntime-cuda': ('CUDAExecutionProvider', 'onnxruntime-gpu'),
    'onnxruntime-cpu': ('CPUExecutionProvider', 'onnxruntime'),
}


def obstacles(backend: str) -> tuple[str, ...]:
    """What a backend lacks here; () if nothing.

    Raises:
        ParameterError: there is no such backend.
    """
    if backend in _PROVIDERS:
        missing = _missing_provider(*_PROVIDERS[backend])
        return (missing,) if missing else ()
    if backend not in ENGINE_BACKENDS:
        known = ', '.join((*ENGINE_BACKENDS, *_PROVIDERS))
        raise ParameterError(f'backend {backend!r} is unknown; allowed: {known}')
    try:
        gpus = cuda_gpus()
    except ProbeFailed:
        gpus = []
    # The first GPU is the one that is used.
    return engine_obstacles(backend, gpus[:1])


def engine_obstacles(backend: str, gpus: list[Gpu]) -> tuple[str, ...]:
    """What one of `ENGINE_BACKENDS` lacks on a machine with these GPUs.

    Without a GPU a TensorRT that is installed is not started, so that nothing is said of its
    version: that takes as long as to load a small network, at each start of a node.
    """
    lacks = []
    if gpus or not any(map(is_installed, modules_of(backend))):
        try:
            find_flavour(backend)
        except BackendUnavailableError as error:
            lacks.append(str(error))
    lacks += gpu_obstacles(backend, gpus)
    if not is_installed('pycuda'):
        lacks.append(PYCUDA_REMEDY)
    return tuple(lacks)


def gpu_obstacles(backend: str, gpus: list[Gpu]) -> list[str]:
    """Why none of these GPUs serves a backend; [] if one does."""
    if not gpus:
        return [NO_GPU]
    capabilities = [gpu.compute_capability for gpu in gpus]
    if backend not in ENGINE_BACKENDS or None in capabilities:
        return []
    if backend == 'tensorrt-rtx':
        if any(capability in RTX_GPUS for capability in capabilities):
            return []
        return [f'it runs on compute capability {", ".join(RTX_GPUS)}; use TensorRT itself here']
    # What is newer than all that is known is left to TensorRT to say.
    if any(_as_number(capability or '0') >= _as_number(OLDEST_GPU) for capability in capabilities):
        return []
    return [f'it needs compute capability {OLDEST_GPU} or later; this GPU is older']


def is_installed(module: str) -> bool:
    """Whether a module is there; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a finder refuses it, or None stands in its place
        return False


def _missing_provider(provider: str, package: str) -> str:
    try:
        providers = execution_providers()
    except BackendUnavailableError as error:
        return str(error)
    if provider in providers:
        return ''
    return f'the installed onnxruntime has no {provider} (python3 -m pip install {package})'


def _as_number(capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in capability.split('.'))
