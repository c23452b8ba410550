"""What calibration and the preparation of an int8 graph cost.

    python benchmarks/calibration.py street_detect --images 100

Prints the time of plain inference of the images, of calibrating with each method and of
preparing each precision; and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time

import numpy as np

from trt_perception.building.calibrate import CalibrationOptions, calibrate
from trt_perception.building.cpu_execution import open_network
from trt_perception.building.precision import PRECISIONS, prepare_graph
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
    for precision in PRECISIONS:
        start = time.perf_counter()
        graph = prepare_graph(spec.onnx, precision, done.ranges)
        spent = time.perf_counter() - start
        print(f'prepare {precision:5} {spent:12.2f} s, int8 share {graph.int8_share:.1%}')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'peak memory       {peak:8.0f} MB')


if __name__ == '__main__':
    main()
