import gc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.model_input import InputSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor


def plain_preprocessing(image, spec):
    """The same in float64, one tap after the other."""
    height, width = image.shape[:2]
    letterbox = Letterbox.fit(
        (width, height), spec.size, spec.resize, shorter_side=spec.shorter_side
    )
    taps = []
    for source, resized in zip(letterbox.source, letterbox.resized, strict=True):
        position = (np.arange(resized) + 0.5) * source / resized - 0.5
        position = np.clip(position, 0, source - 1)
        lower = np.minimum(np.floor(position).astype(int), max(source - 2, 0))
        taps.append((lower, np.minimum(lower + 1, source - 1), position - lower))
    (x0, x1, fx), (y0, y1, fy) = taps
    pixels = image.astype(np.float64)
    rows = pixels[y0] * (1 - fy)[:, None, None] + pixels[y1] * fy[:, None, None]
    inside = rows[:, x0] * (1 - fx)[:, None] + rows[:, x1] * fx[:, None]
    canvas = np.full((spec.size[1], spec.size[0], 3), float(spec.pad_value))
    left, top = letterbox.offset
    inside = inside[max(-top, 0) :, max(-left, 0) :][: spec.size[1], : spec.size[0]]
    left, top = max(left, 0), max(top, 0)
    canvas[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    if spec.color_order == 'rgb':
        canvas = canvas[:, :, ::-1]
    return ((canvas - spec.mean) * spec.scale).transpose(2, 0, 1)


SPECS = [
    InputSpec(size=(96, 64)),
    InputSpec(size=(96, 64), color_order='bgr', pad_value=0),
    InputSpec(size=(96, 64), mean=(123.7, 116.3, 103.5), scale=(1 / 58.4, 1 / 57.1, 1 / 57.4)),
    InputSpec(size=(96, 64), resize='stretch'),
    InputSpec(size=(96, 64), resize='centre_crop'),
    InputSpec(size=(96, 64), resize='centre_crop', shorter_side=96),
]
SIZES = [
    (1, 1),
    (1, 400),
    (400, 1),
    (96, 64),
    (97, 63),
    (192, 128),
    (288, 192),
    (480, 320),
    (40, 30),
]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('spec', SPECS)
def test_preprocessing_is_bilinear_within_one_grey_level(spec, size):
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = np.full((3, 64, 96), np.nan, np.float32)
    letterbox = Preprocessor(spec)(image, out)
    assert letterbox == Letterbox.fit(size, spec.size, spec.resize, shorter_side=spec.shorter_side)
    difference = np.abs(out - plain_preprocessing(image, spec))
    assert (difference / np.array(spec.scale)[:, None, None]).max() <= 1.0 + 1e-3


def test_an_odd_reduction_equals_opencvs_bilinear_one():
    image = np.random.default_rng(0).integers(0, 256, (192, 288, 3), np.uint8)
    out = np.empty((3, 64, 96), np.float32)
    Preprocessor(InputSpec(size=(96, 64), color_order='bgr', scale=(1.0, 1.0, 1.0)))(image, out)
    resized = cv2.resize(image, (96, 64), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(out, resized.transpose(2, 0, 1))


def test_float16_is_the_rounded_float32():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    single, half = np.empty((3, 64, 96), np.float32), np.empty((3, 64, 96), np.float16)
    for spec in SPECS:
        Preprocessor(spec)(image, single)
        Preprocessor(spec, np.float16)(image, half)
        assert np.abs(half - single).max() <= np.abs(single).max() * 2**-11


def test_uint8_networks_take_pixels_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (32, 96, 3), np.uint8)
    out = np.empty((3, 64, 96), np.uint8)
    Preprocessor(InputSpec(size=(96, 64), scale=(1.0, 1.0, 1.0)), np.uint8)(image, out)
    assert np.array_equal(out[:, 16:48], image[:, :, ::-1].transpose(2, 0, 1))
    assert np.all(out[:, :16] == 114)
    assert np.all(out[:, 48:] == 114)
    with pytest.raises(ValueError, match='uint8 input'):
        Preprocessor(InputSpec(size=(96, 64)), np.uint8)
    with pytest.raises(ValueError, match='float64'):
        Preprocessor(InputSpec(size=(96, 64)), np.float64)


def test_rows_may_lie_apart_and_be_read_only():
    padded = np.random.default_rng(0).integers(0, 256, (64, 120, 3), np.uint8)
    padded.flags.writeable = False
    spec = InputSpec(size=(96, 64))
    for width in (96, 70):
        view = padded[:, :width]
        expected, out = np.empty((2, 3, 64, 96), np.float32)
        Preprocessor(spec)(view.copy(), expected)
        Preprocessor(spec)(view, out)
        assert np.array_equal(out, expected)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(SIZES)), max_size=12))
@settings(max_examples=30)
def test_padding_is_right_whatever_came_before(calls):
    preprocessor = Preprocessor(SPECS[0])
    # Two tensors of a batch, one that shares memory with them, and one made anew each time.
    batch = np.empty((2, 3, 64, 96), np.float32)
    for target, (width, height) in calls:
        fresh = np.full((3, 64, 96), np.nan, np.float32)
        out = [batch[0], batch[1], batch[:1][0], fresh][target]
        image = np.full((height, width, 3), 200, np.uint8)
        preprocessor(image, out)
        expected = np.empty((3, 64, 96), np.float32)
        Preprocessor(SPECS[0])(image, expected)
        assert np.array_equal(out, expected)


def test_memory_that_was_freed_is_not_taken_for_padded():
    preprocessor = Preprocessor(SPECS[0])
    image = np.zeros((10, 96, 3), np.uint8)
    memory = bytearray(3 * 64 * 96 * 4)
    for value in (1.0, 2.0):
        # Both arrays lie in the same place, as arrays of a released buffer may.
        out = np.frombuffer(memory, np.float32).reshape(3, 64, 96)
        out[:] = value
        preprocessor(image, out)
        assert np.all(out[:, :10] == np.float32(114 / 255))
        assert np.all(out[:, 27:37] == 0)
        del out
        gc.collect()


@pytest.mark.parametrize(
    ('image', 'out'),
    [
        (np.zeros((0, 0, 3), np.uint8), np.zeros((3, 64, 96), np.float32)),
        (np.zeros((4, 4), np.uint8), np.zeros((3, 64, 96), np.float32)),
        (np.zeros((4, 4, 3), np.float32), np.zeros((3, 64, 96), np.float32)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((3, 96, 64), np.float32)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((3, 64, 96), np.float64)),
    ],
)
def test_wrong_arrays_are_refused(image, out):
    with pytest.raises(ValueError, match='expected'):
        Preprocessor(SPECS[0])(image, out)
