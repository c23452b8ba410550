import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding_cases import model
from plain_priors import sigmoids, softmaxes
from trt_perception.decoding.activation import activation_of, likely
from trt_perception.errors import ModelOutputError

PLAIN = {'softmax': softmaxes, 'sigmoid': sigmoids, 'none': lambda row: row}


@pytest.mark.parametrize('activation', PLAIN)
def test_no_rows(activation):
    for shape in ((0, 3), (2, 1)):
        found = likely(np.full(shape, -9.0, np.float32), activation, 0.9, first=1)
        assert len(found.rows) == len(found.columns) == len(found.values) == 0


@pytest.mark.parametrize('activation', PLAIN)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 1e-6, 0.05, 0.3, 0.5, 0.9, 0.999999, 1.0]),
    st.integers(0, 1),
    st.sampled_from(['f2', 'f4']),
)
@settings(max_examples=40)
def test_it_finds_what_computing_everything_finds(activation, seed, least, first, dtype):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 6, (30, 4))
    if activation == 'none':
        values = rng.random((30, 4))
    values = np.where(rng.random((30, 4)) < 0.03, rng.choice([np.nan, np.inf, -np.inf]), values)
    values = values.astype(dtype)
    exact = [PLAIN[activation](row) for row in values.astype(float).tolist()]
    found = likely(values, activation, least, first=first)
    taken = {}
    for row, column, value in zip(*map(np.ndarray.tolist, vars(found).values()), strict=True):
        taken[row, column] = value
    for row, scores in enumerate(exact):
        for column, score in enumerate(scores):
            near = abs(score - least) < 1e-6
            expected = column >= first and least <= score and np.isfinite(score)
            if not near:
                assert ((row, column) in taken) == expected
            if (row, column) in taken:
                assert taken[row, column] == pytest.approx(score, abs=1e-6)


def known(operator):
    return msgspec.structs.replace(model('classify'), output_operators={'out': operator})


@pytest.mark.parametrize(
    ('operator', 'expected'),
    [
        ('Softmax', 'none'),
        ('Sigmoid', 'none'),
        ('LogSoftmax', 'softmax'),
        ('Gemm', 'softmax'),
        ('Conv', 'softmax'),
    ],
)
def test_the_last_operator_tells(operator, expected):
    assert activation_of(known(operator), 'out', None, 'softmax') == expected


def test_what_is_stated_wins():
    assert activation_of(known('Softmax'), 'out', 'sigmoid', 'softmax') == 'sigmoid'


@pytest.mark.parametrize(('operator', 'text'), [('Div', 'operator Div'), ('', 'does not say')])
def test_what_cannot_be_told_is_asked(operator, text):
    with pytest.raises(ModelOutputError, match=text + '.*activation: sigmoid'):
        activation_of(known(operator), 'out', None, 'sigmoid')
