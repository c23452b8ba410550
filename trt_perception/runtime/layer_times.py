"""How long each layer of a network takes, by the profiler of what runs it."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import InferenceError
from trt_perception.runtime.onnxruntime_backend import first_line
from trt_perception.runtime.onnxruntime_library import import_onnxruntime
from trt_perception.runtime.protocol import Tensors


@dataclass(frozen=True)
class LayerTime:
    """One layer.

    Attributes:
        name: as the backend calls it; fused layers have one name.
        kind: its operator; '' where the backend does not say.
        ms: milliseconds, the median over the runs.
    """

    name: str
    kind: str
    ms: float


def onnxruntime_layers(
    onnx: Path, inputs: Tensors, *, cuda: bool, runs: int, threads: int | None = None
) -> list[LayerTime]:
    """The layers of a network that onnxruntime runs, in their order.

    On a GPU the profiler waits after each layer, so that their sum is more than the whole takes.

    Args:
        onnx: the network.
        inputs: one array per input.
        cuda: on the GPU.
        runs: how many; the first two do not count.
        threads: of the CPU.

    Raises:
        InferenceError: onnxruntime does not load or run it, such as where the GPU has no room for
            the network a second time.
    """
    ort = import_onnxruntime()
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / 'layers')
        provider = 'CUDAExecutionProvider' if cuda else 'CPUExecutionProvider'
        try:
            session = ort.InferenceSession(str(onnx), options, providers=[provider])
            for _ in range(runs + 2):
                session.run(None, dict(inputs))
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise InferenceError(
                f'{onnx}: its layers cannot be timed: {first_line(error)}'
            ) from error
        events = json.loads(Path(session.end_profiling()).read_text())
    return medians(node_events(events), skipped=2)


def node_events(events: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """(name, operator, milliseconds) of each run of each layer in a profile of onnxruntime."""
    found = []
    for event in events:
        name = event.get('name', '')
        if event.get('cat') == 'Node' and name.endswith('_kernel_time'):
            kind = event.get('args', {}).get('op_name', '')
            found.append((name.removesuffix('_kernel_time'), kind, event['dur'] / 1e3))
    return found


def medians(runs: list[tuple[str, str, float]], *, skipped: int = 0) -> list[LayerTime]:
    """The median of each layer, in the order of the first run.

    Args:
        runs: (name, operator, milliseconds), run after run.
        skipped: of each layer, so many first runs do not count.
    """
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name, kind, ms in runs:
        times[name, kind].append(ms)
    layers = []
    for (name, kind), all_ms in times.items():
        counted: NDArray[np.float64] = np.array(all_ms[skipped:] or all_ms)
        layers.append(LayerTime(name, kind, float(np.median(counted))))
    return layers
