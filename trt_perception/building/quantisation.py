"""Writes a plan into the graph: pairs of QuantizeLinear and DequantizeLinear.

What TensorRT accepts: int8 throughout, zero points of 0, one scale per activation, one per
output channel of a weight, biases left float. Weights stay float tensors behind a pair of their
own; they are moved to the int8 grid beforehand, so that rounding them again, in float16 as well,
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from trt_perception.building.calibration_text import LEVELS
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.quantisation_plan import QuantisationPlan, WeightUse

_Array = NDArray[np.float32]


def insert_pairs(model: onnx.ModelProto, index: GraphIndex, plan: QuantisationPlan) -> None:
    """Quantise a model in place; it stays sorted and named.

    Args:
        model: float32, of an operator set of at least 13.
        index: of this model; out of date afterwards.
        plan: what to quantise.
    """
    _Insertion(model, index, plan).run()


def half_up(values: _Array) -> _Array:
    """Each positive value, raised to the next one that float16 can hold.

    Raised, not rounded, so that no range shrinks.
    """
    half = values.astype(np.float16)
    low = half.astype(np.float32) < values
    return np.where(low, np.nextafter(half, np.float16(np.inf)), half).astype(np.float32)


def scale_of(greatest: _Array) -> _Array:
    """The int8 step for a greatest magnitude, exact in float16; 1 where all is zero."""
    least = np.float32(np.finfo(np.float16).smallest_subnormal)
    steps = np.maximum(greatest / np.float32(LEVELS), least)
    safe = np.where(greatest > 0, steps, np.float32(1))
    return half_up(np.asarray(safe, np.float32))


def quantised_weight(weight: _Array, axis: int) -> tuple[_Array, _Array]:
    """Move a weight to the int8 grid.

    Returns:
        The weight, with values that are whole multiples of the scales, at most `LEVELS` of them;
        and the scales, one per entry of `axis`.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = scale_of(np.abs(weight).max(axis=others))
    step = scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    steps = np.clip(np.rint(weight / step), -LEVELS, LEVELS)
    return np.asarray(steps * step, np.float32), scale


class _Insertion:
    """The state of one insertion: which tensors and weights have their pair already."""

    def __init__(self, model: onnx.ModelProto, index: GraphIndex, plan: QuantisationPlan) -> None:
        self.graph = model.graph
        self.index = index
        self.plan = plan
        self.done: dict[tuple[str, int | None], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.taken = set(index.producer) | set(index.weights) | set(index.inputs)

    def run(self) -> None:
        for node in list(self.graph.node):
            for position, tensor in self._activations(node):
                node.input[position] = self._activation(tensor)
            if node.name in self.plan.weights:
                node.input[1] = self._weight(self.plan.weights[node.name])
            self.nodes.append(node)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        del self.graph.node[:]
        self.graph.node.extend(copies)

    def _activations(self, node: onnx.NodeProto) -> Iterator[tuple[int, str]]:
        for position in self.plan.reads.get(node.name, ()):
            yield position, node.input[position]

    def _activation(self, tensor: str) -> str:
        key = (tensor, None)
        if key not in self.done:
            scale = scale_of(np.asarray(self.plan.ranges[tensor], np.float32))
            self.done[key] = self._pair(tensor, tensor, scale)
        return self.done[key]

    def _weight(self, use: WeightUse) -> str:
        key = (use.tensor, use.axis)
        if key not in self.done:
            weight = np.asarray(self.index.value(use.tensor), np.float32)
            moved, scale = quantised_weight(weight, use.axis)
            grid = self._initialiser(f'{use.tensor}_on_grid', moved)
            self.done[key] = self._pair(grid, use.tensor, scale, use.axis)
        return self.done[key]

    def _pair(self, source: str, name: str, scale: _Array, axis: int | None = None) -> str:
        """Add Q and DQ behind `source`; returns what DQ writes."""
        parameters = [
            self._initialiser(f'{name}_scale', scale),
            self._initialiser(f'{name}_zero_point', np.zeros(scale.shape, np.int8)),
        ]
        narrow, wide = self._free(f'{name}_int8'), self._free(f'{name}_dequantised')
        nodes = [
            helper.make_node('QuantizeLinear', [source, *parameters], [narrow], f'{narrow}_q'),
            helper.make_node('DequantizeLinear', [narrow, *parameters], [wide], f'{narrow}_dq'),
        ]
        if axis is not None:
            for node in nodes:
                node.attribute.append(helper.make_attribute('axis', axis))
        self.nodes += nodes
        return wide

    def _initialiser(self, name: str, value: NDArray[np.generic]) -> str:
        name = self._free(name)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += '_'
        self.taken.add(name)
        return name
