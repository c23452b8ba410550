"""Which layers cost accuracy in int8, and which to keep float for a given loss.

Each layer is measured alone: as the only one that is int8, or as the only one that is not. The
networks are run by onnxruntime with a float32 remainder, so that nothing but quantisation shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.building.calibration_ranges import CalibrationRanges
from trt_perception.building.cpu_execution import open_network
from trt_perception.building.gate import Comparison, GateFigures
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.onnx_graph import load_graph
from trt_perception.building.precision import PreparedGraph, prepare_graph
from trt_perception.errors import ParameterError
from trt_perception.model_spec import ModelSpec

Mode = Literal['only', 'without']
"""'only': the layer alone is int8, the cost is the loss. 'without': it alone is float, the cost
is what is gained."""


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs in int8.

    Attributes:
        layer: the node's name.
        loss: of agreement, 0 to 1; may be slightly negative where rounding happens to help.
        error: the greatest relative error of any output, or with 'without' its decrease.
        multiply_adds: share of the network's, 0 to 1.
    """

    layer: str
    loss: float
    error: float
    multiply_adds: float


@dataclass(frozen=True)
class FloatChoice:
    """Layers that are kept float for a loss budget.

    Attributes:
        layers: their names, the most costly first.
        figures: of the network that keeps them.
        int8_share: of its multiply-adds, 0 to 1.
        reached: whether the budget is met.
    """

    layers: tuple[str, ...]
    figures: GateFigures
    int8_share: float
    reached: bool


class Sensitivity:
    """Measures one model's layers on a few images."""

    def __init__(
        self,
        spec: ModelSpec,
        ranges: CalibrationRanges,
        images: Sequence[NDArray[np.uint8]],
        *,
        keep_float: Collection[str] = (),
        threads: int | None = None,
    ) -> None:
        """Run the float32 network.

        Args:
            spec: the model.
            ranges: its calibration.
            images: uint8 [H, W, 3] BGR; at least one, 16 tell enough.
            keep_float: nodes that stay float in any case.
            threads: CPU threads; None leaves the choice to onnxruntime.

        Raises:
            ParameterError: no images.
            CalibrationError, ModelFileError, BackendUnavailableError, InferenceError: the model
                cannot be quantised or run.
        """
        if not images:
            raise ParameterError('sensitivity needs at least one image')
        self._path: Path = spec.onnx
        self._ranges = ranges
        self._always = frozenset(keep_float)
        self._threads = threads
        plain = open_network(prepare_graph(spec.onnx, 'fp32').model, threads=threads)
        self._comparison = Comparison(spec, plain)
        self._comparison.look(images)
        plain.close()
        index = GraphIndex(load_graph(spec.onnx), spec.input.size)
        prepared = self._prepared(())
        work = index.multiply_adds()
        total = max(sum(work.values()), 1)
        self._work = {n: c / total for n, c in work.items() if n not in prepared.float_nodes}

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that can be int8, in order of execution."""
        return tuple(self._work)

    def costs(
        self, mode: Mode = 'only', on_layer: Callable[[int], object] = lambda count: None
    ) -> list[LayerCost]:
        """Every layer's cost, the greatest first.

        Args:
            mode: see `Mode`.
            on_layer: called with the number of layers measured, after each.
        """
        everything = self.figures(()) if mode == 'without' else None
        found = []
        for number, layer in enumerate(self.layers, 1):
            kept = {layer} if mode == 'without' else set(self.layers) - {layer}
            figures = self.figures(kept)
            if everything is None:
                loss, error = 1 - figures.agreement, _worst(figures)
            else:
                loss = figures.agreement - everything.agreement
                error = _worst(everything) - _worst(figures)
            found.append(LayerCost(layer, loss, error, self._work[layer]))
            on_layer(number)
        # On a few images one object more or less is chance; then the error tells more.
        return sorted(found, key=lambda cost: (-round(cost.loss, 2), -cost.error))

    def figures(self, keep_float: Collection[str]) -> GateFigures:
        """How the network does that keeps these layers float, against float32."""
        runtime = open_network(self._prepared(keep_float).model, threads=self._threads)
        try:
            return self._comparison.figures(runtime)
        finally:
            runtime.close()

    def choose(
        self, costs: Sequence[LayerCost], budget: float, least_share: float = 0.85
    ) -> FloatChoice:
        """The fewest of the most costly layers that must stay float for a loss budget.

        Found by halving: more float layers are taken to lose less.

        Args:
            costs: from `costs`.
            budget: greatest loss of agreement, 0 to 1.
            least_share: of the multiply-adds that shall stay int8; layers that would take more
                are passed over.

        Returns:
            The choice; with as many layers as `least_share` allows where none is enough.
        """
        allowed = self._affordable(costs, least_share)
        low, high = 0, len(allowed)
        while low < high:
            middle = (low + high) // 2
            if 1 - self.figures(allowed[:middle]).agreement <= budget:
                high = middle
            else:
                low = middle + 1
        layers = tuple(allowed[:low])
        figures = self.figures(layers)
        share = self._prepared(layers).int8_share
        return FloatChoice(layers, figures, share, 1 - figures.agreement <= budget)

    def _affordable(self, costs: Sequence[LayerCost], least_share: float) -> list[str]:
        left = sum(self._work.values()) - least_share
        allowed = []
        for cost in costs:
            if cost.multiply_adds <= left and cost.error > 0:
                left -= cost.multiply_adds
                allowed.append(cost.layer)
        # One layer must stay int8, else there is no int8 network.
        return allowed if len(allowed) < len(self._work) else allowed[:-1]

    def _prepared(self, keep_float: Collection[str]) -> PreparedGraph:
        kept = sorted(self._always | set(keep_float))
        return prepare_graph(self._path, 'int8', self._ranges, kept, remainder='fp32')


def _worst(figures: GateFigures) -> float:
    errors = figures.outputs.values()
    return max((float('inf') if error is None else error for error in errors), default=0.0)
