"""Runs an ONNX file as it is by onnxruntime, on the CPU or by its CUDA provider."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import (
    BackendUnavailableError,
    InferenceError,
    ModelFileError,
    ParameterError,
    PerceptionError,
)
from trt_perception.runtime.no_room import no_room_for
from trt_perception.runtime.onnxruntime_library import import_onnxruntime
from trt_perception.runtime.protocol import Tensors
from trt_perception.tensor_spec import TensorSpec

_DTYPES: dict[str, Any] = {
    'tensor(float)': np.float32,
    'tensor(float16)': np.float16,
    'tensor(double)': np.float64,
    'tensor(uint8)': np.uint8,
    'tensor(int8)': np.int8,
    'tensor(int32)': np.int32,
    'tensor(int64)': np.int64,
    'tensor(bool)': np.bool_,
}


MAX_THREADS = 1024
"""onnxruntime starts as many as it is told, until the machine stands still."""


class OnnxRuntime:
    """One onnxruntime session; implements `runtime.protocol.Runtime`."""

    precision = 'fp32'

    def __init__(self, path: Path, *, cuda: bool = False, threads: int | None = None) -> None:
        """Load an ONNX file.

        Args:
            path: the file.
            cuda: run on the GPU by the CUDA provider; never falls back to the CPU silently.
            threads: CPU threads inside one operator, 1 to `MAX_THREADS`; None leaves the choice
                to onnxruntime.

        Raises:
            BackendUnavailableError: onnxruntime or its CUDA provider is missing.
            GpuMemoryError: the GPU has no room for the network.
            ModelFileError: onnxruntime cannot load the file.
            ParameterError: `threads` is out of range.
        """
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise ParameterError(f'threads is {threads}; it must lie in 1..{MAX_THREADS}')
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        # Threads that spin while they wait take the processor from the other nodes.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        providers = ['CUDAExecutionProvider'] if cuda else ['CPUExecutionProvider']
        try:
            data = path.read_bytes()
            # Its fallback prints what went wrong and goes on on the CPU, even in mid-run.
            session = ort.InferenceSession(
                str(path), options, providers=providers, enable_fallback=0
            )
        except OSError as error:
            raise ModelFileError(f'{path}: cannot be read: {error}') from error
        except Exception as error:
            raise not_loaded(path, error, cuda=cuda) from error
        if cuda and 'CUDAExecutionProvider' not in session.get_providers():
            raise provider_missing()
        self.backend = 'onnxruntime-cuda' if cuda else 'onnxruntime-cpu'
        self.fingerprint = hashlib.sha256(data).hexdigest()[:16]
        self.inputs = tensor_specs(session.get_inputs())
        self.outputs = tensor_specs(session.get_outputs())
        images = self.inputs[0].shape[:1] if self.inputs else ()
        self.max_batch: int | None = images[0] if images and images[0] > 0 else None
        self._session: Any = session
        self._output_names = [output.name for output in self.outputs]

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """See `Runtime.infer`."""
        if self._session is None:
            raise InferenceError('the network has been closed')
        try:
            outputs = self._session.run(self._output_names, dict(inputs))
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise not_run(error) from error
        return dict(zip(self._output_names, outputs, strict=True))

    def close(self) -> None:
        """See `Runtime.close`."""
        self._session = None


def tensor_specs(values: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """onnxruntime's descriptions of inputs or outputs, in this package's words."""
    return tuple(
        TensorSpec(
            value.name,
            np.dtype(_DTYPES.get(value.type, np.void)),
            tuple(extent if isinstance(extent, int) else -1 for extent in value.shape),
        )
        for value in values
    )


def provider_missing(said: str = 'driver, CUDA or cuDNN missing') -> BackendUnavailableError:
    """The error for a CUDA provider that does not start, with what was said of it."""
    return BackendUnavailableError(
        f'onnxruntime-cuda: the CUDA provider did not start ({said}). '
        'Use backend:=onnxruntime-cpu, or install onnxruntime-gpu and its CUDA'
    )


def not_loaded(path: Path, error: Exception, *, cuda: bool) -> PerceptionError:
    """What an exception of onnxruntime means that came when a session was made."""
    said = first_line(error)
    if cuda and (full := no_room_for('the network', said)) is not None:
        return full
    # Those of the file share no public base class, but are none of Python's own.
    if cuda and isinstance(error, (RuntimeError, ValueError)):
        return provider_missing(said)
    where = ' on the GPU' if cuda else ''
    return ModelFileError(
        f'{path}: onnxruntime {import_onnxruntime().__version__} cannot load it{where}: {said}. '
        'Export it again with an older opset, or check it with onnx.checker'
    )


def not_run(error: Exception) -> InferenceError:
    """What an exception of onnxruntime means that came in mid-run."""
    said = f'onnxruntime failed: {first_line(error)}'
    return no_room_for('this batch', said) or InferenceError(said)


def first_line(error: Exception) -> str:
    """What an exception says, without the trace that onnxruntime adds."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
