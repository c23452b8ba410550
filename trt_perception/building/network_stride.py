"""Of which number a picture's width and height must be multiples for a network to take it.

A network that halves its maps and doubles them again joins both with maps of the way down. Where
an odd extent was halved, and so rounded, the two no longer fit. TensorRT finds that out when such
a picture comes; here it is found out beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import onnx

from trt_perception.building.graph_index import GraphIndex

_STRIDED = frozenset(['AveragePool', 'Conv', 'LpPool', 'MaxPool'])
_CARRYING = frozenset(
    [
        *('Abs', 'Add', 'BatchNormalization', 'Cast', 'Clip', 'Concat', 'DequantizeLinear', 'Div'),
        *('Elu', 'Erf', 'Exp', 'Gelu', 'HardSigmoid', 'HardSwish', 'Identity'),
        *('InstanceNormalization', 'LeakyRelu', 'Max', 'Min', 'Mish', 'Mul', 'Neg', 'PRelu'),
        *('Pow', 'QuantizeLinear', 'Relu', 'Selu', 'Sigmoid', 'Softplus', 'Split', 'Sqrt', 'Sub'),
        *('Sum', 'Tanh'),
    ]
)
"""Operators whose result is as wide and as high as the maps that they read."""


@dataclass(frozen=True)
class NetworkStride:
    """What sizes must be multiples of.

    Attributes:
        width, height: 1 where any will do, as far as can be told from the graph.
        node: the operator that joins maps which otherwise do not fit; '' if there is none.
    """

    width: int
    height: int
    node: str = ''


@dataclass(frozen=True)
class _Extent:
    """The width or the height of a tensor, compared with that of the picture.

    Attributes:
        reduced: picture / tensor.
        multiple_of: of what the picture's extent must be a multiple for that to hold exactly;
            1 as long as nothing was scaled up.
    """

    reduced: Fraction = Fraction(1)
    multiple_of: int = 1

    def scaled_up(self, factor: Fraction) -> _Extent:
        return _Extent(self.reduced / factor, math.lcm(self.multiple_of, self.reduced.numerator))

    def scaled_down(self, factor: Fraction) -> _Extent:
        return _Extent(self.reduced * factor, self.multiple_of)


_Extents = tuple[_Extent, _Extent]
"""Height and width."""


def network_stride(index: GraphIndex) -> NetworkStride:
    """Follow all maps from the picture on.

    Tensors behind operators that rearrange them (Reshape, Slice, Transpose) or that take their
    size from elsewhere are followed no further: for those nothing is asked.
    """
    known: dict[str, _Extents] = {name: (_Extent(), _Extent()) for name in index.inputs}
    needed, culprit = (1, 1), ''
    for node in index.nodes.values():
        inputs = [known[name] for name in node.input if name in known]
        if not inputs:
            continue
        joined = _joined(inputs)
        asked = tuple(joined[axis].multiple_of for axis in (0, 1))
        if len(set(inputs)) > 1 and any(
            len({extents[axis].multiple_of for extents in inputs}) > 1 for axis in (0, 1)
        ):
            both = (math.lcm(needed[0], asked[0]), math.lcm(needed[1], asked[1]))
            if both != needed:
                needed, culprit = both, node.name
        for extents in _results(node, joined, index):
            known.update(dict.fromkeys(node.output, extents))
    return NetworkStride(needed[1], needed[0], culprit)


def _joined(inputs: list[_Extents]) -> _Extents:
    """What several maps of one size ask for together."""
    height, width = (
        _Extent(
            inputs[0][axis].reduced, math.lcm(*(extents[axis].multiple_of for extents in inputs))
        )
        for axis in (0, 1)
    )
    return height, width


def _results(node: onnx.NodeProto, extents: _Extents, index: GraphIndex) -> Iterator[_Extents]:
    """The extents of what a node writes; none where they cannot be told."""
    if node.op_type in _CARRYING:
        yield extents
        return
    factors = _factors(node, index)
    if factors is None:
        return
    height, width = (
        extent.scaled_up(1 / factor) if factor < 1 else extent.scaled_down(factor)
        for extent, factor in zip(extents, factors, strict=True)
    )
    yield height, width


def _factors(node: onnx.NodeProto, index: GraphIndex) -> tuple[Fraction, Fraction] | None:
    """By how much a node reduces height and width; below 1 where it enlarges them."""
    attributes = {a.name: a for a in node.attribute}
    if node.op_type in ('DepthToSpace', 'SpaceToDepth'):
        block = Fraction(attributes['blocksize'].i)
        block = block if node.op_type == 'SpaceToDepth' else 1 / block
        return block, block
    if node.op_type in _STRIDED or node.op_type == 'ConvTranspose':
        strides = (
            [Fraction(s) for s in attributes['strides'].ints] if 'strides' in attributes else []
        )
        vertical, horizontal = strides if len(strides) == 2 else (Fraction(1), Fraction(1))
        if node.op_type == 'ConvTranspose':
            return 1 / vertical, 1 / horizontal
        return vertical, horizontal
    if node.op_type in ('Resize', 'Upsample'):
        for name in node.input[1:]:
            if name in index.weights and index.is_float(name) and index.value(name).size == 4:
                scales = [Fraction(float(scale)) for scale in index.value(name).ravel()]
                return 1 / scales[2], 1 / scales[3]
    return None
