import numpy as np
import pytest

from decoding_cases import SQUARE, model, specs_of
from plain_priors import sigmoids, softmaxes
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

CLASSES = 12
DTYPE = np.dtype('f4')


def decode(values, *, class_filter=None, **options):
    """The result of scores [classes] of one image."""
    output = np.asarray(values)[None]
    spec = model('classify', 'classify', classes=output.shape[1], **options)
    settings = DecodeSettings(class_filter=class_filter)
    (found,) = decoder_for(spec, specs_of(out=output)).decode({'out': output}, [SQUARE], settings)
    return found


def test_no_images():
    output = np.zeros((0, 3), np.float32)
    spec = model('classify', 'classify', activation='none')
    assert decoder_for(spec, specs_of(out=output)).decode({'out': output}, [], None) == []


PLAIN = {'softmax': softmaxes, 'sigmoid': sigmoids, 'none': lambda row: row}


@pytest.mark.parametrize('activation', PLAIN)
def test_the_most_likely_classes_as_published(activation):
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.normal(0, 3, CLASSES).astype(np.float32)
        if seed % 10 == 0:
            values = rng.integers(-2, 3, CLASSES).astype(np.float32)
        if activation == 'none':
            values = np.abs(values) / 20
        plain = PLAIN[activation](values.astype(float).tolist())
        kept = frozenset(rng.choice(CLASSES, 7).tolist()) if seed % 3 == 0 else None
        allowed = [i for i in range(CLASSES) if kept is None or i in kept]
        expected = sorted(allowed, key=lambda i: (-np.float32(plain[i]), i))[:5]
        found = decode(values, activation=activation, class_filter=kept)
        assert found.class_ids.tolist() == expected
        assert found.scores == pytest.approx([plain[i] for i in expected], abs=1e-6)
        assert (found.scores.dtype, found.class_ids.dtype) == (np.float32, np.int64)


def test_logits_of_any_size():
    found = decode(np.array([1e4, -1e4, 9999], np.float32), activation='softmax')
    assert found.scores == pytest.approx([0.7310586, 0.2689414, 0], abs=1e-6)


def test_what_is_not_finite_is_left_out():
    values = np.array([0.5, np.nan, 0.25, np.inf], np.float32)
    assert decode(values, activation='none').class_ids.tolist() == [0, 2]
    assert decode(values, activation='softmax').class_ids.tolist() == []


def test_as_many_as_are_asked_for():
    values = np.linspace(0, 1, 9, dtype=np.float16)
    assert decode(values, activation='none', top=2).class_ids.tolist() == [8, 7]
    assert len(decode(values, activation='none', top=100).scores) == 9


def test_a_map_of_one_cell():
    output = np.zeros((1, 3, 1, 1), np.float32)
    spec = model('classify', 'classify', activation='softmax')
    decoder = decoder_for(spec, [TensorSpec('out', DTYPE, (-1, 3, 1, 1))])
    (found,) = decoder.decode({'out': output}, [SQUARE], DecodeSettings())
    assert found.scores == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ('shapes', 'options', 'text'),
    [
        ([(1, 3)], {}, 'State `options: {activation: none}`'),
        ([(1, 1000)], {}, '1000 classes, but the YAML lists 3'),
        ([(1, 4)], {}, 'background'),
        ([(1, 84, 8400)], {}, 'looks like a detection'),
        ([(1, 3), (1, 512)], {}, 'the file has 2'),
        ([], {}, 'the file has 0'),
    ],
)
def test_outputs_that_do_not_fit(shapes, options, text):
    outputs = [TensorSpec(f'out{i}', DTYPE, shape) for i, shape in enumerate(shapes)]
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('classify', 'classify', **options), outputs)


def test_none_of_the_classes_is_refused():
    spec = model('classify', 'classify', top=0)
    with pytest.raises(ModelSpecError, match='top is 0'):
        decoder_for(spec, [TensorSpec('out', DTYPE, (1, 3))])
