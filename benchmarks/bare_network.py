"""The time of a network alone, to which other benchmarks hold what they measure around it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np


def bare_network_ms(model: Path | str, threads: int, backend: str = 'onnxruntime-cpu') -> float:
    """Median milliseconds for one image, on memory that is where the network needs it.

    Args:
        model: path of a model YAML file, or a name in the package's config/models.
        threads: of a CPU.
        backend: that runs it.
    """
    # Here, since most who import this only now and then measure.
    from trt_perception.evaluation.frame_timing import network_times
    from trt_perception.model_store import find_model
    from trt_perception.pipeline.perception import open_pipeline

    path = model if isinstance(model, Path) else find_model(model)
    with closing(open_pipeline(path, backend=backend, threads=threads)) as pipeline:
        return float(np.median(network_times(pipeline, 1, 50)))
