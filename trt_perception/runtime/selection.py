"""Which backend serves a model, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trt_perception.errors import BackendUnavailableError, ParameterError
from trt_perception.gpu.cuda_driver import import_pycuda
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.obstacles import ENGINE_BACKENDS, NO_GPU, obstacles
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.onnxruntime_device import shared_session
from trt_perception.runtime.protocol import Runtime

BACKENDS = ('auto', *ENGINE_BACKENDS, 'onnxruntime-cuda', 'onnxruntime-cpu')
"""What `backend` may be. After 'auto', in the order in which 'auto' tries them."""

PRECISIONS = ('fp32', 'fp16', 'int8')
"""What `precision` may be. onnxruntime runs a network as its file has it, which is 'fp32'."""


FRAMES = '; frames '
"""In the reason of a choice, what comes before where frames are prepared."""


@dataclass(frozen=True)
class BackendChoice:
    """The backend that was chosen.

    Attributes:
        backend: one of `BACKENDS` but 'auto'.
        reason: why this one, in words for the log.
        verified: how what runs was found to agree with the float32 network, in words; '' where
            it is that network itself.
    """

    backend: str
    reason: str
    verified: str = ''


def telling_frames(choice: BackendChoice, where: str) -> BackendChoice:
    """The choice, whose reason says where frames are prepared."""
    return replace(choice, reason=choice.reason.partition(FRAMES)[0] + FRAMES + where)


def choose_backend(
    requested: str, precision: str = 'fp32', *, without: Mapping[str, str] | None = None
) -> BackendChoice:
    """Pick the backend: the requested one, or for 'auto' the best that is present.

    Args:
        requested: one of `BACKENDS`.
        precision: one of `PRECISIONS`.
        without: backends that 'auto' shall pass over, and why; '' is not told.

    Raises:
        ParameterError: `requested` or `precision` is none of these, or they do not go together.
        BackendUnavailableError: the requested one, or every one, is missing.
    """
    if requested not in BACKENDS:
        raise ParameterError(f'backend {requested!r} is unknown; allowed: {", ".join(BACKENDS)}')
    if precision not in PRECISIONS:
        raise ParameterError(
            f'precision {precision!r} is unknown; allowed: {", ".join(PRECISIONS)}'
        )
    if requested != 'auto':
        if not _offers(requested, precision):
            raise ParameterError(
                f'backend {requested} runs the network as its file has it, in fp32: precision '
                f'{precision} needs an engine, so backend {" or ".join(ENGINE_BACKENDS)}'
            )
        lacks = obstacles(requested)
        if lacks:
            raise BackendUnavailableError(f'backend {requested}: {", and ".join(lacks)}')
        return BackendChoice(requested, 'requested by name')
    refused: list[str] = []
    passed_over: dict[str, tuple[str, ...]] = {}
    for backend in BACKENDS[1:]:
        if without and backend in without:
            lacks = (without[backend],)
        elif not _offers(backend, precision):
            lacks = (f'it has no {precision}',)
        else:
            lacks = obstacles(backend)
        if not lacks:
            return BackendChoice(
                backend, '; '.join([*_briefly(passed_over, without or ()), f'{backend} is present'])
            )
        if lacks[0]:
            refused.append(f'not {backend}: {", and ".join(lacks)}')
            passed_over[backend] = lacks
    remedy = '' if precision == 'fp32' else '. precision fp32 runs everywhere'
    raise BackendUnavailableError(f'no backend can run here: {"; ".join(refused)}{remedy}')


def _briefly(passed_over: Mapping[str, Sequence[str]], tried: Collection[str]) -> list[str]:
    """Why better backends were passed over.

    Without a GPU how to install each of them helps nobody; those that were tried failed otherwise.
    """
    no_gpu = any(NO_GPU in lacks for lacks in passed_over.values())
    told = [
        f'not {backend}: {lacks[0]}'
        for backend, lacks in passed_over.items()
        if backend in tried or not no_gpu
    ]
    return [*told, NO_GPU] if no_gpu else told


def open_runtime(
    onnx: Path, *, backend: str = 'auto', precision: str = 'fp32', threads: int | None = None
) -> tuple[Runtime, BackendChoice]:
    """Load a network as its file has it, by onnxruntime.

    Args:
        onnx: the network.
        backend: 'auto' for the best onnxruntime that is present, or one by name. An engine has
            to be built first: see `building.opening`.
        precision: 'fp32'.
        threads: CPU threads for one inference; None leaves the choice to the backend.

    Raises:
        ParameterError: a value is not allowed.
        BackendUnavailableError: the backend cannot run here.
        ModelFileError: the backend cannot load the file.
    """
    if backend in ENGINE_BACKENDS or precision != 'fp32':
        choose_backend(backend, precision)
        raise ParameterError(f'backend {backend} in {precision} needs an engine, not an ONNX file')
    choice = choose_backend(backend, without=dict.fromkeys(ENGINE_BACKENDS, ''))
    try:
        return _open(onnx, choice, threads)
    except BackendUnavailableError as error:
        # A provider may be installed and still not start; only 'auto' may go on without it.
        if backend != 'auto' or choice.backend == 'onnxruntime-cpu':
            raise
        reason = f'not {choice.backend}: {error}'
        return _open(onnx, BackendChoice('onnxruntime-cpu', reason), threads)


def _offers(backend: str, precision: str) -> bool:
    return precision == 'fp32' or backend in ENGINE_BACKENDS


def _open(onnx: Path, choice: BackendChoice, threads: int | None) -> tuple[Runtime, BackendChoice]:
    if choice.backend != 'onnxruntime-cuda':
        return OnnxRuntime(onnx, threads=threads), choice
    try:
        import_pycuda()
    except BackendUnavailableError as error:
        told = telling_frames(choice, f'are prepared on the CPU: {error}')
        return OnnxRuntime(onnx, cuda=True, threads=threads), told
    shared = shared_session(onnx)
    return DeviceNetwork(shared.open, stream_of=shared.stream), choice
