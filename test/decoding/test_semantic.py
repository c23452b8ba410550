import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from decoding_cases import model
from plain_decoding import plain_mask_logits
from trt_perception.decoding.registry import decoder_for
from trt_perception.decoding.semantic import SemanticDecoder
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

NETWORK = (64, 48)
LETTERBOX = Letterbox.fit((128, 72), NETWORK)
SETTINGS = DecodeSettings()


def decoder(shape, dtype='f4', classes=3):
    spec = ModelSpec(
        name='model',
        onnx=Path('model.onnx'),
        family='semantic',
        task='semantic',
        input=InputSpec(size=NETWORK),
        classes=tuple(ClassSpec(name=f'class {i}') for i in range(classes)),
    )
    return SemanticDecoder(spec, [TensorSpec('logits', np.dtype(dtype), shape)])


def halves(height, width):
    """Logits [1, 3, height, width]: class 2 on the left, class 1 on the right."""
    logits = np.zeros((1, 3, height, width), np.float32)
    logits[0, 2, :, : width // 2] = 1
    logits[0, 1, :, width // 2 :] = 1
    return logits


def test_no_images():
    assert decoder((-1, 3, 12, 16)).decode({'logits': halves(12, 16)}, [], SETTINGS) == []


@pytest.mark.parametrize('dtype', ['f2', 'f4', 'f8'])
@pytest.mark.parametrize('grid', [(48, 64), (12, 16), (6, 8)])
def test_classes_at_the_sources_size(dtype, grid):
    logits = halves(*grid).astype(dtype)
    (found,) = decoder((-1, 3, -1, -1), dtype).decode({'logits': logits}, [LETTERBOX], SETTINGS)
    assert found.size == (128, 72)
    assert found.class_ids.dtype == np.uint8
    assert np.all(found.class_ids[:, :64] == 2)
    assert np.all(found.class_ids[:, 64:] == 1)


def test_the_padding_is_left_out():
    logits = np.zeros((1, 3, 48, 64), np.float32)
    logits[0, 1, 6:42] = 1
    (found,) = decoder((1, 3, 48, 64)).decode({'logits': logits}, [LETTERBOX], SETTINGS)
    assert np.all(found.class_ids == 1)


def test_classes_that_are_filtered_out_are_unlabelled():
    settings = DecodeSettings(class_filter=frozenset({0, 2}))
    (found,) = decoder((-1, 3, 12, 16)).decode({'logits': halves(12, 16)}, [LETTERBOX], settings)
    assert np.all(found.class_ids[:, :64] == 2)
    assert np.all(found.class_ids[:, 64:] == 255)


@pytest.mark.parametrize('shape', [(1, 48, 64), (1, 1, 48, 64)])
@pytest.mark.parametrize('dtype', ['u1', 'i4', 'i8'])
def test_class_ids(shape, dtype):
    ids = np.zeros(shape, dtype)
    ids[..., 32:] = 2
    ids[..., 20, 3] = 3
    (found,) = decoder(shape, dtype).decode({'logits': ids}, [LETTERBOX], SETTINGS)
    assert found.class_ids[0, [0, 63, 64, 127]].tolist() == [0, 0, 2, 2]
    # The model has three classes: there is no class 3.
    assert np.all(found.class_ids[28:30, 6:8] == 255)


def test_logits_that_are_not_finite_leave_pixels_unlabelled():
    logits = halves(48, 64)
    logits[0, 0, 20, 10] = np.nan
    (found,) = decoder((-1, 3, 48, 64)).decode({'logits': logits}, [LETTERBOX], SETTINGS)
    assert np.all(found.class_ids[28:30, 20:22] == 255)
    assert np.sum(found.class_ids == 255) <= 36


def test_a_batch_of_two_sources():
    logits = np.concatenate([halves(12, 16), halves(12, 16)[:, ::-1]])
    letterboxes = [LETTERBOX, Letterbox.fit((30, 40), NETWORK)]
    one, two = decoder((-1, 3, 12, 16)).decode({'logits': logits}, letterboxes, SETTINGS)
    assert one.size == (128, 72)
    assert two.size == (30, 40)
    assert one.class_ids[0, 0] == 2
    assert two.class_ids[0, 0] == 0


@pytest.mark.parametrize(
    ('outputs', 'text'),
    [
        ({}, 'no output'),
        ({'logits': np.zeros((3, 12, 16), 'f4')}, '4 axes'),
        ({'logits': np.zeros((1, 4, 12, 16), 'f4')}, 'lists 3'),
        ({'logits': np.zeros((1, 12, 16, 3), 'f4')}, 'transposed'),
    ],
)
def test_a_batch_that_does_not_fit(outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder((-1, -1, -1, -1)).decode(outputs, [LETTERBOX], SETTINGS)


def spec_of(classes=3, operator='', **options):
    return msgspec.structs.replace(
        model('semantic', 'semantic', classes=classes, size=NETWORK, **options),
        output_operators={'out': operator},
    )


def outputs_of(**shapes):
    return [TensorSpec(name, np.dtype('f4'), shape) for name, shape in shapes.items()]


@pytest.mark.parametrize(
    ('shapes', 'options'),
    [
        ({'out': (1, 3, 48, 64), 'aux': (1, 3, 48, 64)}, {}),
        ({'aux_out': (1, 3, 6, 8), 'out': (1, 3, 6, 8)}, {}),
        ({'features': (1, 64, 6, 8), 'out': (1, 3, 6, 8)}, {}),
        ({'a': (1, 3, 6, 8), 'out': (1, 3, 6, 8), 'b': (1, 3, 6, 8)}, {'output': 'out'}),
    ],
)
def test_the_main_one_of_several_outputs(shapes, options):
    chosen = decoder_for(spec_of(**options), outputs_of(**shapes))
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    arrays['out'][:, 1] = 1
    (found,) = chosen.decode(arrays, [LETTERBOX], SETTINGS)
    assert np.all(found.class_ids == 1)


@pytest.mark.parametrize(
    ('shapes', 'options', 'text'),
    [
        ({'a': (1, 3, 6, 8), 'b': (1, 3, 6, 8)}, {}, 'a and b may be it.*{output: a}'),
        ({'a': (1, 3, 6, 8)}, {'output': 'logits'}, "no output 'logits'"),
        ({'a': (1, 7, 6, 8), 'b': (1, 3, 6, 8)}, {'output': 'a'}, 'has 7 classes'),
        ({'out': (1, 1, 6, 8)}, {}, 'one channel.*two classes'),
    ],
)
def test_outputs_among_which_it_cannot_choose(shapes, options, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(spec_of(**options), outputs_of(**shapes))


def plain_object(channel, letterbox, threshold, *, logits):
    """Where the bilinear value at a pixel's centre is above the threshold; and where it is near."""
    values = plain_mask_logits([1.0], [channel], letterbox)
    limit = math.log(threshold / (1 - threshold)) if logits else threshold
    return values > limit, np.abs(values - limit) < 1e-4


@pytest.mark.parametrize('operator', ['Conv', 'Sigmoid'])
@pytest.mark.parametrize('classes', [1, 2])
def test_one_channel_tells_an_object_from_the_rest(classes, operator):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        threshold = (0.5, 0.3, 0.8)[seed % 3]
        channel = rng.normal(0, 2, (12, 16)).astype(np.float32)
        if operator == 'Sigmoid':
            channel = 1 / (1 + np.exp(-channel))
        spec = spec_of(classes, operator, threshold=threshold)
        chosen = decoder_for(spec, outputs_of(out=(-1, 1, 12, 16)))
        (found,) = chosen.decode({'out': channel[None, None]}, [LETTERBOX], SETTINGS)
        inside, near = plain_object(channel, LETTERBOX, threshold, logits=operator == 'Conv')
        rest, thing = ((255, 0), (0, 1))[classes - 1]
        expected = np.where(inside, thing, rest)
        assert np.array_equal(found.class_ids[~near], expected[~near])


@pytest.mark.parametrize(('classes', 'kept', 'found'), [(1, {0}, 0), (2, {0}, 255), (2, {1}, 1)])
def test_the_class_filter_of_an_object(classes, kept, found):
    chosen = decoder_for(spec_of(classes, 'Conv'), outputs_of(out=(1, 1, 48, 64)))
    settings = DecodeSettings(class_filter=frozenset(kept))
    outputs = {'out': np.ones((1, 1, 48, 64), np.float16)}
    (result,) = chosen.decode(outputs, [LETTERBOX], settings)
    assert np.all(result.class_ids == found)


def test_what_one_channel_holds_is_asked_if_the_file_does_not_say():
    with pytest.raises(ModelOutputError, match='activation: sigmoid'):
        decoder_for(spec_of(2), outputs_of(out=(1, 1, 6, 8)))


@pytest.mark.parametrize('threshold', [0, 1, 1.5])
def test_a_threshold_that_is_no_probability(threshold):
    spec = spec_of(2, 'Conv', threshold=threshold)
    with pytest.raises(ModelSpecError, match='between 0 and 1'):
        decoder_for(spec, outputs_of(out=(1, 1, 6, 8)))


@pytest.mark.parametrize('stride', [1, 4, 8])
def test_maps_as_published(stride):
    """Bilinear logits at each pixel's centre, then the highest class, in float64."""
    for seed in range(70):
        rng = np.random.default_rng([stride, seed])
        letterbox = Letterbox.fit([(128, 72), (30, 40), (64, 48)][seed % 3], NETWORK)
        logits = rng.normal(0, 1, (3, 48 // stride, 64 // stride)).astype(np.float32)
        if seed % 5 == 0:
            logits = np.round(logits)
        chosen = decoder_for(spec_of(), outputs_of(out=(-1, 3, -1, -1)))
        (found,) = chosen.decode({'out': logits[None]}, [letterbox], SETTINGS)
        planes = np.stack([plain_mask_logits([1.0], [plane], letterbox) for plane in logits])
        second, first = np.sort(planes, axis=0)[-2:]
        clear = first - second > 1e-4
        assert np.array_equal(found.class_ids[clear], planes.argmax(axis=0)[clear])
