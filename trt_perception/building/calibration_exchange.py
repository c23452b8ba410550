"""Between this package's calibration file and TensorRT's calibration cache."""

from __future__ import annotations

from pathlib import Path

from trt_perception.building.calibrate import Calibration
from trt_perception.building.calibration_ranges import CalibrationRanges, TensorRange, rounded
from trt_perception.building.calibration_text import (
    Algorithm,
    CalibrationText,
    calibration_text_of,
)
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.onnx_graph import graph_digest, load_graph
from trt_perception.building.quantisation_plan import calibrated_tensors
from trt_perception.errors import CalibrationError


def import_cache(onnx_path: Path, cache: CalibrationText) -> Calibration:
    """Take the ranges of a network's tensors from a cache of TensorRT.

    A cache also names tensors that TensorRT made up, such as '(Unnamed Layer* 64) ...'; these
    are left out.

    Raises:
        CalibrationError: it knows none of the network's tensors.
        ModelFileError: the network cannot be used.
    """
    index = GraphIndex(load_graph(onnx_path))
    known = {*index.producer, *index.inputs}
    tensors = {
        name: TensorRange(rounded(value)) for name, value in cache.ranges().items() if name in known
    }
    wanted = calibrated_tensors(index)
    missing = [name for name in wanted if name not in tensors]
    if not tensors or len(missing) == len(wanted):
        raise CalibrationError(
            f'{onnx_path}: the cache knows none of the {len(wanted)} tensors that can become '
            'int8. It was made for another network, or for one exported with other names'
        )
    warnings = []
    if missing:
        warnings.append(
            f'the cache lacks {len(missing)} of {len(wanted)} tensors, among them '
            f'{", ".join(missing[:3])}; layers that read them stay float'
        )
    ranges = CalibrationRanges(
        onnx=onnx_path.name,
        onnx_sha256=graph_digest(onnx_path),
        method='imported',
        detail=f'TRT-{cache.version}-{cache.algorithm}',
        tensors=tensors,
    )
    return Calibration(ranges, tuple(warnings))


def export_cache(ranges: CalibrationRanges, version: str) -> CalibrationText:
    """A cache for TensorRT's calibrator; min-max calibrations for its min-max calibrator.

    Args:
        ranges: a calibration.
        version: the TensorRT that shall read it, such as '100300' for 10.3.0.

    Raises:
        CalibrationError: see `calibration_text.calibration_text_of`.
    """
    minmax = ranges.method == 'minmax' or ranges.detail.endswith('MinMaxCalibration')
    values = {name: ranges.tensors[name].range for name in sorted(ranges.tensors)}
    algorithm: Algorithm = 'MinMaxCalibration' if minmax else 'EntropyCalibration2'
    return calibration_text_of(values, version, algorithm)
