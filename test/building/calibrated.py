"""Calibrated ranges of small networks, straight from onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from trt_perception.building.calibration_ranges import CalibrationRanges, TensorRange
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.onnx_graph import graph_digest, load_graph
from trt_perception.building.quantisation_plan import calibrated_tensors


def noise(count: int = 2, size: tuple[int, int] = (128, 96)) -> list[NDArray[np.float32]]:
    """float32 [1, 3, height, width] in 0..1: blocks of colour."""
    rng = np.random.default_rng(5)
    width, height = size
    shape = (1, 3, height // 8, width // 8)
    images = [rng.random(shape, np.float32) for _ in range(count)]
    return [image.repeat(8, 2).repeat(8, 3) for image in images]


def run(model: bytes, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """All outputs of a network for one image."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options).run(None, {'images': image})


def minmax_ranges(path: Path, images: list[NDArray[np.float32]]) -> CalibrationRanges:
    """Greatest magnitudes of all tensors over the images."""
    model = load_graph(path)
    names = calibrated_tensors(GraphIndex(model))
    del model.graph.output[:]
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    peaks: dict[str, float] = dict.fromkeys(names, 0.0)
    for image in images:
        for name, value in zip(names, run(model.SerializeToString(), image), strict=True):
            peaks[name] = max(peaks[name], float(np.abs(value).max(initial=0)))
    return CalibrationRanges(
        onnx=path.name,
        onnx_sha256=graph_digest(path),
        method='minmax',
        tensors={name: TensorRange(peak) for name, peak in peaks.items()},
    )
