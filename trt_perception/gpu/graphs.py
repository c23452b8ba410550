"""CUDA graphs: the launches of a run, recorded once and started with one call.

pycuda has no calls for them. cuda-bindings, NVIDIA's own, works on the same stream, since both
use the primary context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trt_perception.errors import InferenceError, MissingDependencyError
from trt_perception.gpu.cuda_driver import Stream


def import_bindings() -> Any:
    """The module cuda.bindings.driver.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise MissingDependencyError(
            'CUDA graphs need cuda-bindings: python3 -m pip install "trt_perception[gpu]"'
        ) from error
    return driver


class CudaGraph:
    """Recorded work. Made, launched and closed in the GPU owner's thread."""

    def __init__(
        self, stream: Stream, work: Callable[[], None], bindings: Any | None = None
    ) -> None:
        """Record what `work` puts into a stream; nothing of it runs.

        Args:
            stream: not the default one.
            work: launches; it must have run once before, so that it allocates nothing now.
            bindings: cuda.bindings.driver.

        Raises:
            MissingDependencyError: cuda-bindings is not installed.
            InferenceError: `work` does what cannot be recorded.
        """
        self._cuda = import_bindings() if bindings is None else bindings
        self._stream = stream.handle
        self._run: Any = None
        mode = self._cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._checked(self._cuda.cuStreamBeginCapture(self._stream, mode))
        try:
            work()
        finally:
            # A capture has to be ended, come what may, or the stream is of no more use.
            ended = self._cuda.cuStreamEndCapture(self._stream)
        graph = self._checked(ended)
        try:
            self._run = self._checked(self._cuda.cuGraphInstantiate(graph, 0))
        finally:
            self._cuda.cuGraphDestroy(graph)

    def launch(self) -> None:
        """Queue the recorded work in its stream."""
        self._checked(self._cuda.cuGraphLaunch(self._run, self._stream))

    def close(self) -> None:
        """Free it."""
        if self._run is not None:
            self._cuda.cuGraphExecDestroy(self._run)
            self._run = None

    def _checked(self, answer: tuple[Any, ...]) -> Any:
        status, *values = answer
        if int(status) != 0:
            raise InferenceError(f'CUDA graph: {status}')
        return values[0] if values else None
