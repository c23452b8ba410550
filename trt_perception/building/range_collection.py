"""Runs a network over images and keeps how large its tensors get.

The extremes are found inside the network, by operators that are added to it; of each tensor
only a sample leaves it. So neither time nor memory grows with the size of the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trt_perception.building.calibration_ranges import TensorRange, rounded
from trt_perception.building.cpu_execution import open_network
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.onnx_graph import load_graph
from trt_perception.building.quantisation_plan import calibrated_tensors
from trt_perception.building.thresholds import DEFAULT_PERCENTILE, MagnitudeHistogram
from trt_perception.errors import CalibrationError, ParameterError
from trt_perception.runtime.protocol import Runtime
from trt_perception.runtime.side_inputs import fed

CalibrationMethod = Literal['entropy', 'minmax', 'percentile']
METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)

SAMPLE = 32768
"""Values of one tensor and one image that are counted, at most."""


class RangeCollector:
    """Gathers the ranges of one network's tensors, image by image.

    Memory: the network's own, plus some ten kilobytes for each tensor.
    """

    def __init__(
        self,
        onnx_path: Path,
        method: CalibrationMethod = 'entropy',
        *,
        percentile: float = DEFAULT_PERCENTILE,
        threads: int | None = None,
        sides: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Load the network.

        Args:
            onnx_path: a float32 network.
            method: one of `METHODS`.
            percentile: for that method, above 0, at most 100.
            threads: CPU threads; None leaves the choice to onnxruntime.
            sides: what its inputs beside the image hold; see `runtime.side_inputs.fed`.

        Raises:
            ModelFileError: the network cannot be used.
            CalibrationError: it has nothing to calibrate.
            BackendUnavailableError: onnxruntime is not installed.
        """
        model = load_graph(onnx_path)
        index = GraphIndex(model)
        self.tensors = calibrated_tensors(index)
        if not self.tensors:
            raise CalibrationError(
                f'{onnx_path}: no layer reads float32 that comes from the images, so that there '
                'is nothing to calibrate. Use the float32 network'
            )
        self._method = method
        self._percentile = percentile
        _observe(model, index, self.tensors, sample=method != 'minmax')
        network = open_network(model.SerializeToString(), threads=threads)
        self._runtime: Runtime = fed(network, sides or {})
        self._own_outputs = index.outputs
        self._low = np.full(len(self.tensors), np.inf, np.float32)
        self._high = np.full(len(self.tensors), -np.inf, np.float32)
        self._histograms = [MagnitudeHistogram() for _ in self.tensors]
        self.images = 0

    def add(self, images: NDArray[np.generic]) -> None:
        """Look at one batch.

        Args:
            images: [batch, 3, height, width] as the network takes it.

        Raises:
            CalibrationError: the network computes NaN or infinity from it.
            InferenceError: the network fails.
        """
        name = self._runtime.inputs[0].name
        outputs = self._runtime.infer({name: images})
        low, high = outputs[_LOW], outputs[_HIGH]
        broken = [n for n, a, b in zip(self.tensors, low, high, strict=True) if not _finite(a, b)]
        broken += [n for n in self._own_outputs if not _finite(outputs[n])]
        if broken:
            raise CalibrationError(
                f'image {self.images + 1}: the network computes NaN or infinity, first in '
                f'{broken[0]!r}. Check the image, and mean and scale in the model YAML'
            )
        np.minimum(self._low, low, out=self._low)
        np.maximum(self._high, high, out=self._high)
        if self._method != 'minmax':
            for tensor, histogram in zip(self.tensors, self._histograms, strict=True):
                histogram.add(outputs[_sample_name(tensor)])
        self.images += 1

    def ranges(self, method: CalibrationMethod | None = None) -> dict[str, TensorRange]:
        """What was found so far, by tensor. At least one batch must have been added.

        Args:
            method: another than the one that was named at first. What was kept for 'entropy' or
                'percentile' serves all three.

        Raises:
            ParameterError: only extremes were kept, for 'minmax', and the method needs more.
        """
        method = method or self._method
        if self._method == 'minmax' != method:
            raise ParameterError(
                f'method {method!r} needs histograms; those gathered for minmax hold none'
            )
        found = {}
        for i, tensor in enumerate(self.tensors):
            low, high = float(self._low[i]), float(self._high[i])
            greatest = max(abs(low), abs(high))
            chosen = min(self._chosen(method, self._histograms[i], greatest), greatest)
            found[tensor] = TensorRange(rounded(chosen), rounded(low), rounded(high))
        return found

    def close(self) -> None:
        """Free the network."""
        self._runtime.close()

    def _chosen(
        self, method: CalibrationMethod, histogram: MagnitudeHistogram, greatest: float
    ) -> float:
        if method == 'minmax' or histogram.top == 0:
            return greatest
        if method == 'percentile':
            return histogram.percentile(self._percentile)
        return histogram.entropy_range()


_LOW, _HIGH = 'calibration_low', 'calibration_high'


def _sample_name(tensor: str) -> str:
    return f'{tensor}_calibration_sample'


def _finite(*values: NDArray[np.generic]) -> bool:
    return all(bool(np.isfinite(value).all()) for value in values)


def _observe(
    model: onnx.ModelProto, index: GraphIndex, tensors: Sequence[str], *, sample: bool
) -> None:
    """Add outputs for the tensors' extremes, joined to two vectors, and for their samples."""
    graph = model.graph
    make = helper.make_node
    one = numpy_helper.from_array(np.array([1], np.int64), 'calibration_one')
    flat = numpy_helper.from_array(np.array([-1], np.int64), 'calibration_flat')
    graph.initializer.extend([one, flat])
    for operator, output in (('ReduceMin', _LOW), ('ReduceMax', _HIGH)):
        parts = [f'{tensor}_{output}' for tensor in tensors]
        for tensor, part in zip(tensors, parts, strict=True):
            graph.node.append(make(operator, [tensor], [f'{part}_0'], part, keepdims=0))
            graph.node.append(make('Reshape', [f'{part}_0', one.name], [part], f'{part}_1'))
        graph.node.append(make('Concat', parts, [output], output, axis=0))
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    if not sample:
        return
    end = numpy_helper.from_array(np.array([2**62], np.int64), 'calibration_end')
    start = numpy_helper.from_array(np.array([0], np.int64), 'calibration_start')
    graph.initializer.extend([start, end])
    for tensor in tensors:
        name = _sample_name(tensor)
        step = _sampling_step(index.shapes.get(tensor))
        graph.initializer.append(
            numpy_helper.from_array(np.array([step], np.int64), f'{name}_step')
        )
        places = [start.name, end.name, start.name, f'{name}_step']
        graph.node.append(make('Reshape', [tensor, flat.name], [f'{name}_flat'], f'{name}_flat'))
        graph.node.append(make('Slice', [f'{name}_flat', *places], [name], name))
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def _sampling_step(shape: tuple[int, ...] | None) -> int:
    """Distance of the sampled values; shares no factor with an extent, to meet all columns."""
    if shape is None:
        return 1
    step = max(math.ceil(math.prod(shape) / SAMPLE), 1)
    while any(math.gcd(step, extent) > 1 for extent in shape[1:]):
        step += 1
    return step
