"""Puts a precision into the graph, so that every TensorRT can build it strongly typed.

'fp32' leaves the arithmetic as it is; 'fp16' turns it into float16 and keeps the graph's inputs
and outputs; 'int8' quantises by calibrated ranges and turns the remainder into float16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import onnx

from trt_perception.building.calibration_ranges import CalibrationRanges
from trt_perception.building.graph_index import GraphIndex
from trt_perception.building.half_precision import LARGEST_HALF, coordinate_nodes, to_half
from trt_perception.building.onnx_graph import QUANTISABLE_OPSET, load_graph, raise_opset
from trt_perception.building.quantisation import insert_pairs
from trt_perception.building.quantisation_plan import named_nodes, plan_quantisation
from trt_perception.building.structure import refused_quantisers
from trt_perception.errors import CalibrationError, ModelFileError, ParameterError
from trt_perception.onnx_file import MOST_BYTES

Precision = Literal['fp32', 'fp16', 'int8']
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

PREPARATION_VERSION = 1
"""Raised whenever the same file would be prepared in another way: old engines are then stale."""


@dataclass(frozen=True)
class PreparedGraph:
    """A network in one precision.

    Attributes:
        model: the ONNX bytes.
        precision: as asked for.
        int8_share: multiply-adds that are int8, 0 to 1.
        float_nodes: for 'int8', the weighted nodes that stay float, and why.
        versions: of all that had a hand in the bytes.
    """

    model: bytes
    precision: Precision
    int8_share: float
    float_nodes: dict[str, str]
    versions: dict[str, str]


def prepare_graph(
    onnx_path: Path,
    precision: Precision,
    ranges: CalibrationRanges | None = None,
    keep_float: Collection[str] = (),
    *,
    remainder: Literal['fp16', 'fp32'] = 'fp16',
) -> PreparedGraph:
    """Prepare a network. The same arguments give the same bytes.

    A network that has quantisers already, as from training with quantisation, keeps them and
    needs no ranges.

    Args:
        onnx_path: the float32 network.
        precision: one of `PRECISIONS`.
        ranges: for 'int8' required, unless the network is quantised already; for 'fp16', where
            there are any, they show what overflows.
        keep_float: nodes that shall not be reduced: not to int8, and for 'fp16' not to float16.
            * and ? stand for any letters.
        remainder: for 'int8', what is not int8. 'fp32' is to measure on a CPU, where it is
            fast and shows what quantisation alone costs.

    Raises:
        ParameterError: an unknown precision, or a name in `keep_float` that is no node.
        CalibrationError: 'int8' without ranges, or nothing of the network can become int8.
        ModelFileError: the file cannot be used; see `onnx_graph.load_graph`; or it has
            quantisers that TensorRT refuses.
    """
    if precision not in PRECISIONS:
        raise ParameterError(
            f'precision {precision!r} is unknown; allowed: {", ".join(PRECISIONS)}'
        )
    model = load_graph(onnx_path)
    share = 0.0
    float_nodes: dict[str, str] = {}
    quantised = _is_quantised(model)
    if precision == 'int8' and ranges is None and not quantised:
        raise CalibrationError(
            f'{onnx_path}: precision int8 needs calibrated ranges. Make them once with: '
            'trt_perception calibrate MODEL --images FOLDER'
        )
    if precision == 'int8' or quantised:
        model = raise_opset(model, QUANTISABLE_OPSET, str(onnx_path))
    pictures = ranges.preprocessing if ranges else None
    index = GraphIndex(model, pictures.size if pictures else None)
    asked = named_nodes(index, keep_float)
    overflowing = _overflowing(index, ranges)
    floating = coordinate_nodes(index) | overflowing
    if precision == 'fp16':
        floating |= asked
    if quantised:
        share = _present_share(index, str(onnx_path))
    elif precision == 'int8' and ranges is not None:
        kept = dict.fromkeys(asked, 'asked for') | dict.fromkeys(overflowing, 'exceeds float16')
        share, float_nodes = _quantise(model, index, ranges, kept, str(onnx_path))
    if precision == 'fp16' or (precision == 'int8' and remainder == 'fp16'):
        to_half(model, floating, str(onnx_path))
    return PreparedGraph(
        _bytes(model, onnx_path), precision, share, float_nodes, converter_versions()
    )


def _is_quantised(model: onnx.ModelProto) -> bool:
    return any(node.op_type == 'DequantizeLinear' for node in model.graph.node)


def _present_share(index: GraphIndex, origin: str) -> float:
    """Share of the multiply-adds that a network's own quantisers make int8."""
    faults = refused_quantisers(index)
    if faults:
        raise ModelFileError(
            f'{origin}: TensorRT refuses {len(faults)} of its quantisers; the first: {faults[0]}. '
            'Quantise it symmetrically to int8 with float biases, or give the float32 network'
        )
    work = index.multiply_adds()
    return sum(work[name] for name in index.int8_nodes()) / max(sum(work.values()), 1)


def _quantise(
    model: onnx.ModelProto,
    index: GraphIndex,
    ranges: CalibrationRanges,
    kept: Mapping[str, str],
    origin: str,
) -> tuple[float, dict[str, str]]:
    values = {name: entry.range for name, entry in ranges.tensors.items()}
    plan = plan_quantisation(index, values, kept)
    if not plan.weights:
        reasons = sorted(set(plan.float_nodes.values())) or ['it has no weighted layers']
        raise CalibrationError(
            f'{origin}: no layer can become int8: {"; ".join(reasons)}. Use precision fp16'
        )
    work = index.multiply_adds()
    share = sum(work[name] for name in plan.weights) / max(sum(work.values()), 1)
    insert_pairs(model, index, plan)
    return share, plan.float_nodes


def _overflowing(index: GraphIndex, ranges: CalibrationRanges | None) -> set[str]:
    """Nodes that write or read what may not fit float16, with room for twice what was seen."""
    if ranges is None:
        return set()
    large = {
        name
        for name, entry in ranges.tensors.items()
        if max(entry.range, abs(entry.low or 0), abs(entry.high or 0)) > LARGEST_HALF / 2
    }
    return {
        node.name
        for node in index.nodes.values()
        if large.intersection((*node.input, *node.output))
    }


def _bytes(model: onnx.ModelProto, path: Path) -> bytes:
    if model.ByteSize() > MOST_BYTES:
        raise ModelFileError(f'{path}: the prepared network exceeds 2 GiB. Choose a smaller model')
    return model.SerializeToString(deterministic=True)


def converter_versions() -> dict[str, str]:
    """Versions of all that has a hand in the bytes of a prepared graph."""
    return {'preparation': str(PREPARATION_VERSION), 'onnx': onnx.__version__}
