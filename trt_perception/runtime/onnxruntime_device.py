"""Runs an ONNX file on the GPU by onnxruntime, on memory and in a stream that are given.

Tensors are bound to device addresses (I/O binding), onnxruntime works in our stream
(`user_compute_stream`) and does not wait at the end of a run. Where the file allows it, the
launches of a run are kept as a CUDA graph (`enable_cuda_graph`), one for each batch
(`gpu_graph_id`). See onnxruntime's documentation of its CUDA execution provider.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trt_perception.errors import InferenceError, ModelFileError
from trt_perception.gpu.cuda_driver import Stream
from trt_perception.gpu.device import Gpu
from trt_perception.runtime.device_protocol import Shapes, shape_key
from trt_perception.runtime.onnxruntime_backend import (
    not_loaded,
    not_run,
    provider_missing,
    tensor_specs,
)
from trt_perception.runtime.onnxruntime_library import import_onnxruntime
from trt_perception.runtime.shared_network import Closed, SharedNetwork
from trt_perception.tensor_spec import TensorSpec

CUDA = 'CUDAExecutionProvider'
_NO_GRAPH = '-1'
"""`gpu_graph_id` of runs that are not to be kept."""

_ERRORS, _WARNINGS = 3, 2
"""onnxruntime's levels of what it logs; the second is its own choice."""


class OnnxRuntimeWeights:
    """One onnxruntime session on the GPU, for any number of `OnnxRuntimeDevice`s.

    onnxruntime gives a session one stream: those that share it run one after the other, and so
    they share its arena of memory for what lies between the layers.

    Attributes:
        uses_graph: whether launches are kept as CUDA graphs.
        fingerprint, max_batch, inputs, outputs: see `protocol.Runtime`.
    """

    def __init__(self, path: Path, stream: Stream, *, graph: bool = True) -> None:
        """Load an ONNX file. The GPU's context is current.

        Args:
            path: the file.
            stream: in which it works.
            graph: keep the launches as a CUDA graph, if every operator runs on the GPU.

        Raises:
            BackendUnavailableError: onnxruntime or its CUDA provider is missing.
            GpuMemoryError: the GPU has no room for the network.
            ModelFileError: onnxruntime cannot load the file.
        """
        self._ort = import_onnxruntime()
        self._stream = stream
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelFileError(f'{path}: cannot be read: {error}') from error
        session = self._session_with(path, graph) if graph else None
        self.uses_graph = session is not None
        session = session or self._session_with(path, False)
        if session is None or CUDA not in session.get_providers():
            raise provider_missing()
        self.fingerprint = hashlib.sha256(data).hexdigest()[:16]
        self.inputs = tensor_specs(session.get_inputs())
        self.outputs = tensor_specs(session.get_outputs())
        images = self.inputs[0].shape if self.inputs else ()
        self.max_batch: int | None = images[0] if images and images[0] > 0 else None
        self._session: Any = session
        self._shapes: dict[object, Shapes] = {}
        self._graphs = 0

    def shapes(self, inputs: Shapes) -> Shapes:
        """See `DeviceRuntime.shapes`. Open extents of outputs are learnt from one run."""
        key = shape_key(inputs)
        if key not in self._shapes:
            for spec in self.inputs:
                check_shape(spec, inputs[spec.name])
            fixed: Shapes = {spec.name: spec.shape for spec in self.outputs}
            if any(-1 in shape for shape in fixed.values()):
                fixed = self._measured(inputs)
            self._shapes[key] = {**inputs, **fixed}
        return self._shapes[key]

    def binding(self, inputs: Shapes, addresses: Mapping[str, int]) -> tuple[Any, Any]:
        """Tensors bound to device addresses, and options of a run with a graph of its own."""
        shapes = self.shapes(inputs)
        binding = self._session.io_binding()
        for spec in self.inputs:
            place = (spec.dtype.type, shapes[spec.name], addresses[spec.name])
            binding.bind_input(spec.name, 'cuda', 0, *place)
        for spec in self.outputs:
            place = (spec.dtype.type, shapes[spec.name], addresses[spec.name])
            binding.bind_output(spec.name, 'cuda', 0, *place)
        self._graphs += 1
        return binding, self._options(str(self._graphs) if self.uses_graph else _NO_GRAPH)

    def run(self, binding: Any, options: Any) -> None:
        """Queue one run.

        Raises:
            InferenceError: onnxruntime failed.
        """
        try:
            self._session.run_with_iobinding(binding, options)
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise not_run(error) from error

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _session_with(self, path: Path, graph: bool) -> Any:
        """A session, or None where there can be none with a graph."""
        options = self._ort.SessionOptions()
        options.log_severity_level = _ERRORS
        cuda = {
            'device_id': 0,
            'user_compute_stream': str(self._stream.handle),
            'enable_cuda_graph': '1' if graph else '0',
            # Power-of-two steps would take up to twice the memory that the network needs.
            'arena_extend_strategy': 'kSameAsRequested',
        }
        # 1.31 warns that a plug-in for the GPU named by its number is missing, and goes on without.
        self._ort.set_default_logger_severity(_ERRORS)
        try:
            return self._ort.InferenceSession(
                str(path), options, providers=[(CUDA, cuda)], enable_fallback=0
            )
        except (RuntimeError, ValueError) as error:  # of the provider, whatever it shall do
            raise not_loaded(path, error, cuda=True) from error
        except Exception as error:
            if graph:
                return None
            raise not_loaded(path, error, cuda=True) from error
        finally:
            self._ort.set_default_logger_severity(_WARNINGS)

    def _options(self, graph_id: str) -> Any:
        options = self._ort.RunOptions()
        options.add_run_config_entry('disable_synchronize_execution_providers', '1')
        if self.uses_graph:
            options.add_run_config_entry('gpu_graph_id', graph_id)
        return options

    def _measured(self, inputs: Shapes) -> Shapes:
        """Run once on zeros, on memory of onnxruntime's own."""
        binding = self._session.io_binding()
        zeros = {
            spec.name: self._ort.OrtValue.ortvalue_from_numpy(
                np.zeros(inputs[spec.name], spec.dtype), 'cuda', 0
            )
            for spec in self.inputs
        }
        for name, value in zeros.items():
            binding.bind_ortvalue_input(name, value)
        for spec in self.outputs:
            binding.bind_output(spec.name, 'cuda')
        try:
            self._session.run_with_iobinding(binding, self._options(_NO_GRAPH))
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise not_run(error) from error
        self._stream.synchronize()
        names = [spec.name for spec in self.outputs]
        values = zip(names, binding.get_outputs(), strict=True)
        return {name: tuple(value.shape()) for name, value in values}


class OnnxRuntimeDevice:
    """The bindings of one worker to a session; implements `device_protocol.DeviceRuntime`."""

    backend = 'onnxruntime-cuda'
    precision = 'fp32'

    def __init__(self, weights: OnnxRuntimeWeights, on_close: Closed) -> None:
        """Bind nothing yet.

        Args:
            weights: the session.
            on_close: called when the bindings are gone.
        """
        self.fingerprint, self.max_batch = weights.fingerprint, weights.max_batch
        self.inputs, self.outputs = weights.inputs, weights.outputs
        self._weights: OnnxRuntimeWeights = weights
        self._on_close = on_close
        self._bound: dict[object, tuple[dict[str, int], Any, Any]] = {}
        self._current: tuple[Any, Any] | None = None

    def shapes(self, inputs: Shapes) -> Shapes:
        """See `DeviceRuntime.shapes`."""
        return self._weights.shapes(inputs)

    def bind(self, inputs: Shapes, addresses: Mapping[str, int]) -> None:
        """See `DeviceRuntime.bind`."""
        key = shape_key(inputs)
        kept = self._bound.get(key)
        if kept is None or kept[0] != addresses:
            kept = dict(addresses), *self._weights.binding(inputs, addresses)
            self._bound[key] = kept
        self._current = kept[1], kept[2]

    def enqueue(self) -> None:
        """See `DeviceRuntime.enqueue`."""
        if self._current is None:
            raise InferenceError('the network has no memory bound')
        self._weights.run(*self._current)

    def close(self) -> None:
        """See `DeviceRuntime.close`."""
        self._bound.clear()
        self._current = None
        self._on_close()


def shared_session(path: Path) -> SharedNetwork[OnnxRuntimeWeights]:
    """An ONNX file for any number of workers, each with bindings and graphs of its own."""

    def load(gpu: Gpu, stream: Stream) -> OnnxRuntimeWeights:
        return OnnxRuntimeWeights(path, stream)

    def context(
        weights: OnnxRuntimeWeights, stream: Stream, number: int, closed: Closed
    ) -> OnnxRuntimeDevice:
        return OnnxRuntimeDevice(weights, closed)

    return SharedNetwork(load, context)


def check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    """Make sure that an input takes a shape.

    Raises:
        InferenceError: an extent that the network fixes is another one.
    """
    fits = len(shape) == len(spec.shape) and all(
        fixed in (-1, extent) for fixed, extent in zip(spec.shape, shape, strict=True)
    )
    if fits:
        return
    advice = 'Export it with open extents, or give it what it takes'
    if shape[1:] == spec.shape[1:]:
        advice = f'It works on {spec.shape[0]} image(s) at once: export it with an open batch'
    raise InferenceError(f'{spec.name}: the network takes {spec.shape}, not {shape}. {advice}')
