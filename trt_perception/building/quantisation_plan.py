"""Decides which tensors of a network become int8, and which layers stay float, and why.

The rules are those of NVIDIA's guide to explicit quantisation (TensorRT developer guide,
"Q/DQ Layer-Placement Recommendations") and of what is known to cost accuracy or speed:

- inputs of weighted layers are quantised, not their outputs;
- of a residual addition only the skip is quantised, so that the other summand's convolution,
  its activation and the addition can run as one kernel;
- what a Concat joins shares one scale with its result, so that joining needs no arithmetic;
  likewise a MaxPool's input and output;
- Sigmoid, Softmax, Split, Resize and Concat read no quantised tensor.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import onnx

from trt_perception.building.graph_index import WEIGHTED, GraphIndex
from trt_perception.errors import ParameterError

FEWEST_CHANNELS = 16
"""Convolutions with fewer input or output channels gain nothing from int8 tensor cores."""

_POINTWISE = frozenset(
    ['BatchNormalization', 'Clip', 'Elu', 'HardSwish', 'LeakyRelu', 'Mish', 'Mul', 'PRelu', 'Relu']
)
"""What may stand between a convolution and a residual addition without keeping them apart."""

_SELECTION = frozenset(['GridSample', 'TopK'])


@dataclass(frozen=True)
class WeightUse:
    """A weight to quantise: the initialiser and the axis of its output channels."""

    tensor: str
    axis: int


@dataclass(frozen=True)
class QuantisationPlan:
    """What to quantise.

    Attributes:
        reads: for each node that reads int8, the positions of its inputs that are activations.
        weights: for each weighted one of these nodes, its weight, the input at position 1.
        ranges: of every activation that is read so, the range after sharing, above 0.
        float_nodes: the weighted nodes that stay float, and why.
    """

    reads: dict[str, tuple[int, ...]]
    weights: dict[str, WeightUse]
    ranges: dict[str, float]
    float_nodes: dict[str, str]


def plan_quantisation(
    index: GraphIndex, ranges: Mapping[str, float], keep_float: Mapping[str, str]
) -> QuantisationPlan:
    """Plan one network.

    Args:
        index: the network.
        ranges: of its tensors, as calibrated.
        keep_float: names of nodes that shall stay float, and why.
    """
    float_nodes = _float_by_structure(index)
    float_nodes |= {name: keep_float[name] for name in _weighted(index) & keep_float.keys()}
    reads: dict[str, tuple[int, ...]] = {}
    weights: dict[str, WeightUse] = {}
    for name in sorted(_weighted(index)):
        node = index.nodes[name]
        if name in float_nodes:
            continue
        reason = _unknown_range(node.input[0], ranges)
        if reason:
            float_nodes[name] = reason
            continue
        reads[name] = (0,)
        weights[name] = WeightUse(node.input[1], _output_axis(node))
    others = index.nodes.keys() - keep_float.keys()
    reads |= {name: (0,) for name in others if _pools(index.nodes[name], ranges)}
    for name in others:
        skip = _skip_of(index, index.nodes[name], weights.keys())
        if skip is not None and not _unknown_range(index.nodes[name].input[skip], ranges):
            reads[name] = (skip,)
    used = {index.nodes[name].input[i] for name, places in reads.items() for i in places}
    ordered = {name: float_nodes[name] for name in index.nodes if name in float_nodes}
    return QuantisationPlan(reads, weights, _shared(index, ranges, used), ordered)


def calibrated_tensors(index: GraphIndex) -> list[str]:
    """Every tensor whose range may be asked for, whatever stays float, in order of execution.

    These are the float32 activations read by weighted layers, pooling and additions, and the
    results of Concat.
    """
    fed = index.fed
    found: dict[str, None] = {}
    for node in index.nodes.values():
        if node.op_type in WEIGHTED or node.op_type in ('MaxPool', 'Add'):
            found.update(dict.fromkeys(node.input))
        elif node.op_type == 'Concat':
            found[node.output[0]] = None
    return [name for name in found if name in fed and index.is_float(name)]


def named_nodes(index: GraphIndex, patterns: Iterable[str]) -> set[str]:
    """The nodes that these names and patterns mean.

    Raises:
        ParameterError: one means no node.
    """
    found: set[str] = set()
    for pattern in patterns:
        names = {pattern} & index.nodes.keys() or {
            name for name in index.nodes if fnmatch.fnmatchcase(name, pattern)
        }
        if not names:
            near = difflib.get_close_matches(pattern, list(index.nodes), 1)
            hint = f' (did you mean {near[0]!r}?)' if near else ''
            raise ParameterError(
                f'keep_float: the network has no node {pattern!r}{hint}. '
                'trt_perception inspect lists the nodes'
            )
        found |= names
    return found


def _weighted(index: GraphIndex) -> set[str]:
    """Names of the nodes that multiply and add, if they do so with what comes from images."""
    fed = index.fed
    return {
        name
        for name, node in index.nodes.items()
        if node.op_type in WEIGHTED and fed.intersection(node.output)
    }


def _float_by_structure(index: GraphIndex) -> dict[str, str]:
    """The weighted nodes that stay float because of where they stand, and why."""
    selected = [
        name for node in index.nodes.values() if node.op_type in _SELECTION for name in node.output
    ]
    decoder = index.downstream(selected)
    reasons = {}
    for name in _weighted(index):
        reason = _own_reason(index, index.nodes[name])
        if reason is None and name in decoder:
            reason = 'part of a transformer decoder'
        if reason is not None:
            reasons[name] = reason
    candidates = _weighted(index) - reasons.keys()
    leading = index.leading_to(lambda node: node.name in candidates)
    reasons |= dict.fromkeys(candidates - leading, 'the last layer before an output')
    return reasons


def _own_reason(index: GraphIndex, node: onnx.NodeProto) -> str | None:
    """Why a weighted node cannot become int8, from itself alone."""
    if node.input[1] not in index.weights or not index.is_float(node.input[1]):
        return 'both factors are computed' if node.input[1] in index.producer else 'not float32'
    if not index.is_float(node.input[0]):
        return 'not float32'
    if node.op_type == 'ConvTranspose':
        # TensorRT fails to build some of these with a scale per channel, and they are few.
        return 'a transposed convolution'
    shape = index.weights[node.input[1]].dims
    if node.op_type != 'Conv' and len(shape) != 2:
        return f'a product with a weight of {len(shape)} axes'
    group = next((a.i for a in node.attribute if a.name == 'group'), 1)
    channels = shape[1] * group if node.op_type == 'Conv' else shape[1]
    if min(shape[0], channels) < FEWEST_CHANNELS:
        return f'fewer than {FEWEST_CHANNELS} channels'
    return None


def _output_axis(node: onnx.NodeProto) -> int:
    if node.op_type == 'MatMul':
        return 1
    transposed = any(a.name == 'transB' and a.i for a in node.attribute)
    return 0 if node.op_type == 'Conv' or transposed else 1


def _unknown_range(tensor: str, ranges: Mapping[str, float]) -> str | None:
    if tensor not in ranges:
        return 'its input was not calibrated'
    return None if ranges[tensor] > 0 else 'its input never left zero in calibration'


def _pools(node: onnx.NodeProto, ranges: Mapping[str, float]) -> bool:
    # A pool that also tells where the greatest value stood has no int8 kernel.
    plain = node.op_type == 'MaxPool' and len(node.output) == 1
    return plain and not _unknown_range(node.input[0], ranges)


def _skip_of(index: GraphIndex, node: onnx.NodeProto, quantised: Collection[str]) -> int | None:
    """Position of a residual addition's skip; None if the node is none."""
    if node.op_type != 'Add' or any(name not in index.producer for name in node.input):
        return None
    sources = [_convolution_behind(index, name) for name in node.input]
    ends = [index.producer[name] for name in node.input]
    for position, source in enumerate(sources):
        alone = len(index.consumers[node.input[position]]) == 1
        skipped = ends[1 - position].op_type
        if source is None or source.name not in quantised or skipped == 'Resize' or not alone:
            continue
        if _longer(index, sources, position):
            return 1 - position
    return None


def _longer(index: GraphIndex, sources: list[onnx.NodeProto | None], position: int) -> bool:
    """Whether the path through this summand is the long one, the other being the skip."""
    mine, other = sources[position], sources[1 - position]
    if mine is None or other is None:
        return other is None
    if mine is other:
        return False
    order = list(index.nodes)
    ancestors = _convolutions_above(index, mine), _convolutions_above(index, other)
    lengths = tuple(len(one - two) for one, two in (ancestors, ancestors[::-1]))
    if lengths[0] != lengths[1]:
        return lengths[0] > lengths[1]
    return order.index(mine.name) > order.index(other.name)


def _convolution_behind(index: GraphIndex, tensor: str) -> onnx.NodeProto | None:
    """The convolution whose result, changed value by value at most, this tensor alone is."""
    for _ in range(8):
        node = index.producer.get(tensor)
        if node is None:
            return None
        if node.op_type == 'Conv':
            return node
        if node.op_type not in _POINTWISE:
            return None
        # x * sigmoid(x): both factors lead to the same convolution, by x the shorter way.
        factors = [name for name in node.input if name in index.producer]
        if len(factors) > 1:
            gates = [name for name in factors if index.producer[name].op_type == 'Sigmoid']
            factors = [name for name in factors if name not in gates]
        if len(factors) != 1:
            return None
        tensor = factors[0]
    return None


def _convolutions_above(index: GraphIndex, node: onnx.NodeProto) -> set[str]:
    """Names of the weighted nodes that a node depends on, and its own."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if current.name in seen:
            continue
        seen.add(current.name)
        if current.op_type in WEIGHTED:
            found.add(current.name)
        waiting += [index.producer[name] for name in current.input if name in index.producer]
    return found


def _shared(
    index: GraphIndex, ranges: Mapping[str, float], used: Collection[str]
) -> dict[str, float]:
    """The ranges of the used tensors; those of one group take the greatest of them."""
    groups = _Groups()
    for node in index.nodes.values():
        if node.op_type == 'Concat' or (node.op_type == 'MaxPool' and len(node.output) == 1):
            for name in node.input:
                groups.join(name, node.output[0])
    greatest: dict[str, float] = {}
    for name in used:
        leader = groups.leader(name)
        greatest[leader] = max(greatest.get(leader, 0.0), ranges[name])
    return {name: greatest[groups.leader(name)] for name in sorted(used)}


class _Groups:
    """Sets of tensors that grow together (union-find)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def leader(self, name: str) -> str:
        while (above := self._above.get(name, name)) != name:
            name = above
        return name

    def join(self, one: str, other: str) -> None:
        one, other = self.leader(one), self.leader(other)
        if one != other:
            self._above[one] = other
