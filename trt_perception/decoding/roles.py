"""Which of a network's outputs is which: by name, else by the only shape that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_perception.decoding.output_shapes import batch_of, check_batches, describe, matches
from trt_perception.errors import ModelOutputError
from trt_perception.tensor_spec import TensorSpec


@dataclass(frozen=True)
class Role:
    """What one output has to be.

    Attributes:
        what: how errors call it, with its axes: 'boxes [batch, anchors, 4]'.
        shape: extents; -1 for those that may be anything.
        names: exporters' names for it, in lower case.
        kinds: numpy's kinds of its numbers, 'f' floating-point, 'i' and 'u' integer.
    """

    what: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    kinds: str = 'f'

    def fits(self, output: TensorSpec) -> bool:
        """Whether an output may have this role by its type and shape."""
        return self._mismatch(output.dtype, output.shape) == ''

    def _mismatch(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
        """Why it does not fit, in words; '' if it does."""
        if dtype.kind not in self.kinds:
            return f'Its numbers are {dtype}. Export it with others'
        if len(shape) != len(self.shape):
            return 'Check `family` and `onnx` in the YAML'
        if self._matches(shape):
            return ''
        turned = (*shape[:-2], shape[-1], shape[-2])
        if len(shape) > 2 and self._matches(turned):
            return 'It looks transposed: export it with its last two axes exchanged'
        return 'Check `classes`, `family` and `onnx` in the YAML, and that no outputs are swapped'

    def _matches(self, shape: tuple[int, ...]) -> bool:
        pairs = zip(shape, self.shape, strict=True)
        return all(want == -1 or matches(have, want) for have, want in pairs)

    def check(self, output: TensorSpec) -> None:
        """Raises ModelOutputError if the output does not fit."""
        reason = self._mismatch(output.dtype, output.shape)
        if reason:
            raise ModelOutputError(f'{describe([output])} should be {self.what}. {reason}')

    def batch(self, outputs: Mapping[str, NDArray[Any]], name: str, images: int) -> NDArray[Any]:
        """The output of that name of one batch, checked. Raises ModelOutputError."""
        tensor = batch_of(outputs, name, len(self.shape), images)
        self.check(TensorSpec(name, tensor.dtype, (-1, *tensor.shape[1:])))
        return tensor


def assign(
    family: str, outputs: Sequence[TensorSpec], roles: Mapping[str, Role]
) -> dict[str, TensorSpec]:
    """The output that has each role.

    Args:
        family: for error texts.
        outputs: those of the file; more than there are roles is fine.
        roles: by key.

    Raises:
        ModelOutputError: the outputs are of different batches, a role is nobody's or could be
            that of several, or the output of its name has another shape or type.
    """
    check_batches(outputs)
    chosen: dict[str, TensorSpec] = {}
    for key, role in roles.items():
        named = [o for o in outputs if o.name.lower() in role.names]
        if len(named) == 1:
            chosen[key] = named[0]
            role.check(named[0])
    for key, role in roles.items():
        if key in chosen:
            continue
        taken = {o.name for o in chosen.values()}
        free = [o for o in outputs if o.name not in taken]
        fitting = [o for o in free if role.fits(o)]
        if len(fitting) != 1:
            raise ModelOutputError(_unclear(family, free, role, fitting))
        chosen[key] = fitting[0]
    return chosen


def _unclear(
    family: str, free: Sequence[TensorSpec], role: Role, fitting: Sequence[TensorSpec]
) -> str:
    """Why none of the outputs that are still free has the role."""
    wants = f'the family {family} wants {role.what}'
    if fitting:
        names = f'call it {role.names[0]!r}' if role.names else 'with fixed extents'
        found = ' and '.join(o.name for o in fitting)
        return f'{wants}; {found} may be it. Export the model again and {names}'
    near = [o for o in free if len(o.shape) == len(role.shape)]
    for output in near:
        turned = (*output.shape[:-2], output.shape[-1], output.shape[-2])
        if len(near) == 1 or role.fits(TensorSpec(output.name, output.dtype, turned)):
            role.check(output)
    return f'{wants}; the file has none. Check `family`, `task`, `classes` and `onnx` in the YAML'
