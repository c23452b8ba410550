from pathlib import Path

import numpy as np
import pytest

from trt_perception.decoding.semantic import SemanticDecoder
from trt_perception.errors import ModelOutputError
from trt_perception.model_spec import ClassSpec, InputSpec, ModelSpec
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
