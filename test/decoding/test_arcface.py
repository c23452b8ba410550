import numpy as np
import pytest

from decoding_cases import NETWORK, SQUARE, model, specs_of
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

SPEC = model('arcface', 'embed', classes=0)


def embed(output):
    decoder = decoder_for(SPEC, specs_of(out=output))
    return decoder.decode({'out': output}, [SQUARE] * len(output), DecodeSettings())


def test_no_images():
    assert embed(np.zeros((0, 512), np.float32)) == []


@pytest.mark.parametrize('dtype', ['f2', 'f4'])
def test_embeddings_have_length_one(dtype):
    rng = np.random.default_rng(1)
    output = (rng.normal(0, 1, (200, 64)) * rng.uniform(0.1, 20, (200, 1))).astype(dtype)
    for found, row in zip(embed(output), output.astype(np.float64), strict=True):
        assert found.vector == pytest.approx(row / np.sqrt((row * row).sum()), abs=1e-6)
        assert found.vector.dtype == np.float32
        assert found.size == NETWORK


@pytest.mark.parametrize('value', [0, np.nan, np.inf])
def test_without_a_direction_it_is_zero(value):
    (found,) = embed(np.full((1, 8), value, np.float32))
    assert found.vector.tolist() == [0] * 8


def test_numbers_as_large_as_float32_has_them():
    (found,) = embed(np.array([[3e38, 0, -3e38]], np.float32))
    assert found.vector == pytest.approx([0.5**0.5, 0, -(0.5**0.5)])


@pytest.mark.parametrize(
    ('shapes', 'text'),
    [
        ([(1, 512, 7, 7)], 'the file has 0.*detection or segmentation'),
        ([(1, 512), (1, 1000)], 'the file has 2'),
        ([(1, 1)], 'no embedding'),
    ],
)
def test_outputs_that_do_not_fit(shapes, text):
    outputs = [TensorSpec(f'out{i}', np.dtype('f4'), shape) for i, shape in enumerate(shapes)]
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(SPEC, outputs)
