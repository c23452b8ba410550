"""What calibration and the preparation of an int8 graph cost.

    python benchmarks/calibration.py street_detect --images 100

Prints the time of plain inference of the images, of calibrating with each method and of
preparing each precision, with the peak memory of a fresh process that does only that.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from pathlib import Path

import numpy as np

from trt_perception.building.calibrate import CalibrationOptions, calibrate
from trt_perception.building.calibration_ranges import CalibrationRanges
from trt_perception.building.cpu_execution import open_network
from trt_perception.building.peak_memory import peak_memory_bytes
from trt_perception.building.precision import PRECISIONS, Precision, prepare_graph
from trt_perception.building.range_collection import METHODS
from trt_perception.model_spec import load_model_spec
from trt_perception.model_store import find_model
from trt_perception.sources.opening import open_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model')
    parser.add_argument('--images', type=int, default=100)
    arguments = parser.parse_args()
    count = arguments.images
    spec = load_model_spec(find_model(arguments.model))
    source = open_source('synthetic:calibration', size=spec.input.size)
    frames = list(itertools.islice(source, count))
    width, height = spec.input.size
    image = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    network = open_network(spec.onnx.read_bytes())
    name = network.inputs[0].name
    network.infer({name: image})
    start = time.perf_counter()
    for _ in range(count):
        network.infer({name: image})
    plain = time.perf_counter() - start
    print(f'plain inference   {plain / count * 1e3:8.1f} ms/image')
    for method in METHODS:
        start = time.perf_counter()
        done = calibrate(spec, frames, CalibrationOptions(method, limit=count))
        spent = time.perf_counter() - start
        print(f'{method:10} {spent / count * 1e3:15.1f} ms/image, {spent / plain:.2f} times plain')
    print(f'peak memory       {peak_megabytes():8.0f} MB')
    for precision in PRECISIONS:
        # A process of its own, since a peak is never forgotten.
        with multiprocessing.get_context('spawn').Pool(1) as fresh:
            spent, share, before, peak = fresh.apply(prepared, (spec.onnx, precision, done.ranges))
        print(
            f'prepare {precision:5} {spent:12.2f} s, int8 share {share:.1%}, '
            f'peak memory {peak:.0f} MB, of which {before:.0f} MB before'
        )


def prepared(
    onnx: Path, precision: Precision, ranges: CalibrationRanges
) -> tuple[float, float, float, float]:
    """Seconds, share of int8, and peak memory before and after, in MB."""
    before = peak_megabytes()
    start = time.perf_counter()
    graph = prepare_graph(onnx, precision, ranges)
    return time.perf_counter() - start, graph.int8_share, before, peak_megabytes()


def peak_megabytes() -> float:
    return peak_memory_bytes() / 1e6


if __name__ == '__main__':
    main()
