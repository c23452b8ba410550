"""Probabilities from a network's scores, whether or not the network computes them itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ModelSpec

Activation = Literal['softmax', 'sigmoid', 'none']
"""What is still to be applied to an output so that it holds probabilities."""

_LINEAR = frozenset(
    {'Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'Add', 'BatchNormalization', 'LogSoftmax'}
    | {'Resize', 'AveragePool', 'GlobalAveragePool', 'ReduceMean'}
)
"""Operators whose results are logits; the softmax of a logarithm of probabilities is themselves."""

_MARGIN = 1e-3
"""So much lower, in logits, a value is looked at before its exact probability decides."""


def activation_of(
    spec: ModelSpec, output: str, stated: Activation | None, usual: Activation
) -> Activation:
    """What the decoder has to apply to an output.

    Args:
        spec: the model; the operator behind the output decides unless the YAML file does.
        output: its name.
        stated: the family's option `activation`.
        usual: what logits of this family need, 'softmax' or 'sigmoid'.

    Raises:
        ModelOutputError: neither the YAML file nor the graph tells.
    """
    if stated is not None:
        return stated
    operator = spec.output_operators.get(output)
    if operator in ('Softmax', 'Sigmoid'):
        return 'none'
    if operator in _LINEAR:
        return usual
    ending = f'ends with the operator {operator}' if operator else 'does not say'
    raise ModelOutputError(
        f'the file {ending}, so it is open whether {output} holds probabilities. State '
        f'`options: {{activation: none}}` if it does, `options: {{activation: {usual}}}` if it '
        'holds logits'
    )


@dataclass(frozen=True)
class Scores:
    """Entries of an array of scores that are high enough.

    Attributes:
        rows, columns: intp [K], where they stand, row by row.
        values: float32 [K], probabilities in 0..1.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: NDArray[np.float32]

    def before(self, column: int) -> Scores:
        """Those in the columns before one."""
        kept = self.columns < column
        return Scores(self.rows[kept], self.columns[kept], self.values[kept])


def likely(values: NDArray[Any], activation: Activation, least: float, *, first: int = 0) -> Scores:
    """The probabilities of at least `least`.

    Only what can reach that is computed, which is little of what a detector puts out. Entries
    that are not finite, and for softmax all of their row, are left out.

    Args:
        values: float [rows, columns].
        activation: what makes them probabilities.
        least: 0..1.
        first: columns before it take part in softmax but are never returned.
    """
    if activation == 'softmax':
        return _likely_by_softmax(values.astype(np.float32, copy=False), least, first)
    part = values[:, first:]
    with np.errstate(invalid='ignore'):
        floor = least if activation == 'none' else _logit(least) - _MARGIN
        # float16 is compared as it is: a wider copy of everything would cost the most.
        flat = np.flatnonzero((part >= floor).reshape(-1))
    rows, columns = np.divmod(flat, part.shape[1])
    exact = part[rows, columns].astype(np.float32)
    finite = np.isfinite(exact)
    rows, columns, exact = rows[finite], columns[finite], exact[finite]
    if activation == 'sigmoid':
        exact = sigmoid(exact)
    sure = exact >= np.float32(least)
    return Scores(rows[sure], columns[sure] + first, np.minimum(exact[sure], np.float32(1.0)))


def _likely_by_softmax(values: NDArray[np.float32], least: float, first: int) -> Scores:
    with np.errstate(invalid='ignore', over='ignore'):
        top = values.max(axis=1, initial=-np.inf)
        # A probability is at most exp(its logit - the row's highest).
        floor = top + np.float32(math.log(max(least, 1e-30)) - _MARGIN)
        hopeful = values[:, first:] >= floor[:, None]
    some = np.flatnonzero(hopeful.any(axis=1))
    part = softmax(values[some])
    with np.errstate(invalid='ignore'):
        rows, columns = np.nonzero(part[:, first:] >= np.float32(least))
    return Scores(some[rows], columns + first, part[rows, columns + first])


def softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [rows, columns] of each row's logits; NaN where a row is not finite."""
    with np.errstate(invalid='ignore', over='ignore'):
        powers = np.exp(values - values.max(axis=1, keepdims=True, initial=-np.inf))
        result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        result[~np.isfinite(values).all(axis=1)] = np.nan
    return result


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)) of an array of any shape."""
    with np.errstate(over='ignore'):
        result: NDArray[np.float32] = np.float32(1.0) / (np.float32(1.0) + np.exp(-values))
    return result


def _logit(probability: float) -> float:
    """The logit below which no probability is reached; float32 knows none above 15."""
    if probability <= 0:
        return -math.inf
    return min(math.log(probability / (1 - probability)), 15.0) if probability < 1 else 15.0
