"""The networks that are measured side by side: one model in several precisions.

'fp32' runs the model's file as it is. 'fp16' and 'int8' run the graph that TensorRT would get,
by onnxruntime, rewritten so that it rounds where TensorRT would; see building/cpu_execution.py.
That tells the accuracy, not the speed. An engine of TensorRT tells both; see engine_networks.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from trt_perception.building.calibration_ranges import CalibrationRanges, load_ranges, ranges_path
from trt_perception.building.cpu_execution import for_onnxruntime
from trt_perception.building.onnx_graph import graph_digest
from trt_perception.building.precision import PRECISIONS, Precision, prepare_graph
from trt_perception.errors import ParameterError
from trt_perception.model_spec import ModelSpec
from trt_perception.pipeline.perception import PerceptionPipeline
from trt_perception.runtime.obstacles import ENGINE_BACKENDS
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime
from trt_perception.runtime.selection import BACKENDS, BackendChoice, choose_backend

if TYPE_CHECKING:
    from trt_perception.evaluation.engine_networks import EngineSource

AS_IT_IS = 'the ONNX file as it is'
EMULATED = 'the graph for TensorRT, run by onnxruntime'


@dataclass(frozen=True)
class Network:
    """One precision on one backend, ready to run.

    Attributes:
        precision, backend: which.
        pipeline: runs it.
        how: what is run, in words.
        file_bytes: of the ONNX file in this precision.
        memory_bytes: by how much the process grew until the first frame was done; at least 0.
        int8_share: multiply-adds that are int8, 0 to 1.
        float_nodes: for 'int8', weighted nodes that stay float, and why.
        calibration: what 'int8' was calibrated with, in words.
        verified: of an engine, how well it agreed with float32 when it was built, in words.
    """

    precision: Precision
    backend: str
    pipeline: PerceptionPipeline
    how: str
    file_bytes: int
    memory_bytes: int
    int8_share: float = 0.0
    float_nodes: dict[str, str] = field(default_factory=dict)
    calibration: str = ''
    verified: str = ''


def checked_backends(names: Sequence[str]) -> tuple[str, ...]:
    """The backends of these names, each once; 'onnxruntime' is that of the CPU.

    Raises:
        ParameterError: there are none, or one is unknown.
    """
    known = {name: name for name in BACKENDS if name != 'auto'}
    known['onnxruntime'] = 'onnxruntime-cpu'
    for name in names or ('',):
        if name not in known:
            raise ParameterError(f'backend {name!r} is unknown; allowed: {", ".join(known)}')
    return tuple(dict.fromkeys(known[name] for name in names))


def checked_precisions(names: Sequence[str]) -> tuple[Precision, ...]:
    """The precisions of these names, each once.

    Raises:
        ParameterError: there are none, or one is unknown.
    """
    known: dict[str, Precision] = {name: name for name in PRECISIONS}
    for name in names:
        if name not in known:
            raise ParameterError(f'precision {name!r} is unknown; allowed: {", ".join(PRECISIONS)}')
    if not names:
        raise ParameterError(f'no precision named; allowed: {", ".join(PRECISIONS)}')
    return tuple(known[name] for name in dict.fromkeys(names))


def open_network(
    spec: ModelSpec,
    model_yaml: Path,
    precision: Precision,
    *,
    backend: str = 'onnxruntime-cpu',
    calibration: Path | None = None,
    keep_float: Collection[str] = (),
    threads: int | None = None,
    engines: EngineSource | None = None,
) -> Network:
    """Load a model in one precision and run its first frame.

    Args:
        spec: the model.
        model_yaml: its file, beside which the calibration lies.
        precision: one of `PRECISIONS`.
        backend: one of `runtime.selection.BACKENDS` but 'auto'.
        calibration: another calibration file.
        keep_float: nodes that shall stay float, besides those that the model names.
        threads: CPU threads for one inference; None leaves the choice to onnxruntime.
        engines: for TensorRT, where engines come from; None builds them on this machine.

    Raises:
        ParameterError: the backend is unknown.
        BackendUnavailableError: it cannot run here; what is missing is named.
        CalibrationError: 'int8' without a calibration that fits.
        ModelSpecError, ModelFileError, ModelOutputError, InferenceError: the model cannot run.
    """
    if backend in ENGINE_BACKENDS:
        # What engines need is imported only for them.
        from trt_perception.evaluation.engine_networks import open_engine_network

        return open_engine_network(
            spec,
            model_yaml,
            precision,
            backend=backend,
            calibration=calibration,
            keep_float=keep_float,
            source=engines,
        )
    choice = choose_backend(backend)
    if precision == 'fp32':
        return _as_it_is(spec, choice, threads)
    ranges = _ranges(spec, calibration or ranges_path(model_yaml), calibration)
    return _emulated(spec, precision, ranges, keep_float, choice, threads)


def _as_it_is(spec: ModelSpec, choice: BackendChoice, threads: int | None) -> Network:
    before = psutil.Process().memory_info().rss
    pipeline = _pipeline(spec, spec.onnx, choice, threads)
    size = spec.onnx.stat().st_size
    return Network('fp32', choice.backend, pipeline, AS_IT_IS, size, _grown(before))


def _emulated(
    spec: ModelSpec,
    precision: Precision,
    ranges: CalibrationRanges | None,
    keep_float: Collection[str],
    choice: BackendChoice,
    threads: int | None,
) -> Network:
    """The graph that TensorRT would get, rewritten for onnxruntime."""
    own = spec.quantisation.keep_float if precision == 'int8' else ()
    prepared = prepare_graph(spec.onnx, precision, ranges, sorted({*own, *keep_float}))
    with tempfile.TemporaryDirectory(prefix='trt_perception_') as folder:
        path = Path(folder) / 'network.onnx'
        path.write_bytes(for_onnxruntime(prepared.model))
        before = psutil.Process().memory_info().rss
        pipeline = _pipeline(spec, path, choice, threads)
    return Network(
        precision,
        choice.backend,
        pipeline,
        EMULATED,
        len(prepared.model),
        _grown(before),
        prepared.int8_share,
        prepared.float_nodes,
        calibrated_with(ranges, precision),
    )


def _pipeline(
    spec: ModelSpec, onnx: Path, choice: BackendChoice, threads: int | None
) -> PerceptionPipeline:
    runtime = OnnxRuntime(onnx, cuda=choice.backend == 'onnxruntime-cuda', threads=threads)
    try:
        pipeline = PerceptionPipeline(spec, runtime, choice)
        pipeline.warm_up()
    except BaseException:
        runtime.close()
        raise
    return pipeline


def _grown(before: int) -> int:
    return max(int(psutil.Process().memory_info().rss) - before, 0)


def _ranges(spec: ModelSpec, path: Path, named: Path | None) -> CalibrationRanges | None:
    # A float16 network needs none, and neither does one that was trained with quantisers.
    if named is None and not path.is_file():
        return None
    return load_ranges(path, onnx_sha256=graph_digest(spec.onnx), preprocessing=spec.input)


def calibrated_with(ranges: CalibrationRanges | None, precision: Precision) -> str:
    """What int8 was calibrated with, in words; '' for other precisions."""
    return '' if ranges is None or precision != 'int8' else ranges.in_words()
