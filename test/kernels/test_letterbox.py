import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.frames import Frame
from trt_perception.kernels.letterbox import DEVICE_ENCODINGS, DeviceImage, LetterboxKernel
from trt_perception.model_input import InputSpec
from trt_perception.preprocessing.colour import ENCODINGS, to_bgr
from trt_perception.preprocessing.preprocessor import Preprocessor

PIXEL_BYTES = {'mono': 1, '8UC1': 1, 'bayer': 1, 'nv': 1, 'yu': 2, 'uy': 2, 'bgra': 4, 'rgba': 4}
SPEC = InputSpec(size=(72, 40))
SPECS = [
    SPEC,
    InputSpec(size=(33, 65), color_order='bgr', pad_value=0, scale=(1.0, 1.0, 1.0)),
    InputSpec(size=(64, 48), mean=(123.7, 116.3, 103.5), scale=(1 / 58.4, 1 / 57.1, 1 / 57.4)),
    InputSpec(size=(64, 48), resize='stretch'),
    InputSpec(size=(64, 48), pad='bottom_right'),
]
CROP = InputSpec(size=(32, 32), resize='centre_crop')


def random_frame(width, height, encoding, *, padding=0, big_endian=False, seed=0):
    """Of noise in which the rows lie `padding` bytes apart."""
    start = next((n for n in PIXEL_BYTES if encoding.startswith(n)), None)
    pixel = PIXEL_BYTES.get(start, 3) * (2 if encoding.endswith('16') else 1)
    if start in ('nv', 'yu', 'uy'):
        width += width % 2
    if start == 'nv':
        height += height % 2
    if start == 'bayer':
        width, height = max(width, 2), max(height, 2)
    step = width * pixel + padding
    rows = height * 3 // 2 if start == 'nv' else height
    data = np.random.default_rng(seed).integers(0, 256, rows * step, np.uint8)
    return Frame(data, height, width, step, encoding, big_endian)


def on_device(executor, frame):
    address = executor.upload(frame.data)
    return DeviceImage(
        address, frame.width, frame.height, frame.step, frame.encoding, frame.big_endian
    )


def check(executor, spec, frames, dtype=np.float32, levels=0):
    """The kernel's tensor is the CPU's, bit by bit, or within some grey levels."""
    width, height = spec.size
    kernel = LetterboxKernel(executor, spec, dtype)
    shape = (len(frames), 3, height, width)
    tensor = executor.allocate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    images = [on_device(executor, frame) for frame in frames]
    placed = kernel.enqueue(images, tensor, executor.stream)
    found = executor.download(tensor, dtype, shape)
    executor.free()
    expected = np.empty(shape, dtype)
    for frame, letterbox, out in zip(frames, placed, expected, strict=True):
        assert letterbox == Preprocessor(spec, dtype)(to_bgr(frame), out)
    if levels:
        difference = np.abs(found - expected) / np.array(spec.scale)[:, None, None]
        assert difference.max() <= levels + 1e-3
    else:
        np.testing.assert_array_equal(found, expected)


def test_no_images(executor):
    check(executor, SPEC, [])


def test_it_reads_all_encodings_but_files():
    assert {*ENCODINGS} - {'compressed'} == DEVICE_ENCODINGS


def test_another_encoding_is_refused(executor):
    kernel = LetterboxKernel(executor, SPEC, np.float32)
    with pytest.raises(ValueError, match='compressed'):
        kernel.enqueue([DeviceImage(0, 4, 4, 12, 'compressed')], 0, executor.stream)


@pytest.mark.parametrize('dtype', [np.int8, np.float64])
def test_other_types_are_refused(executor, dtype):
    with pytest.raises(ValueError, match='float32, float16 or uint8'):
        LetterboxKernel(executor, SPEC, dtype)


def test_uint8_takes_pixels_as_they_are(executor):
    with pytest.raises(ValueError, match='uint8'):
        LetterboxKernel(executor, SPEC, np.uint8)


@pytest.mark.parametrize('encoding', sorted(DEVICE_ENCODINGS))
def test_every_encoding(executor, encoding):
    frames = [
        random_frame(97, 61, encoding, padding=5),
        random_frame(40, 90, encoding, big_endian=True),
        random_frame(2, 2, encoding),
        random_frame(1, 1, encoding),
        random_frame(2, 33, encoding, padding=1),
        random_frame(150, 1, encoding),
    ]
    check(executor, SPEC, frames)


@pytest.mark.parametrize('spec', SPECS)
@pytest.mark.parametrize('dtype', [np.float32, np.float16])
def test_every_placement_and_type(executor, spec, dtype):
    sizes = [(1, 1), (72, 40), (144, 80), (216, 120), (73, 41), (5, 300), (300, 5), (64, 48)]
    check(executor, spec, [random_frame(*size, 'bgr8') for size in sizes], dtype)


def test_a_centre_crop(executor):
    check(executor, CROP, [random_frame(*size, 'bgr8') for size in [(64, 48), (1, 1), (90, 200)]])


def test_a_centre_crop_of_a_long_image_is_within_one_level(executor):
    # The CPU does not make the whole resized image then, and interpolates in float64.
    check(executor, CROP, [random_frame(5, 300, 'bgr8'), random_frame(900, 7, 'nv12')], levels=1)


def test_uint8(executor):
    spec = InputSpec(size=(40, 40), scale=(1.0, 1.0, 1.0))
    check(executor, spec, [random_frame(97, 61, 'nv12'), random_frame(3, 7, 'rgb8')], np.uint8)


def test_more_images_than_one_launch_takes(executor):
    spec = InputSpec(size=(16, 8))
    check(executor, spec, [random_frame(9 + i, 40 - i, 'bgr8', seed=i) for i in range(35)])


@pytest.mark.parametrize('size', [(7680, 4320), (1, 8000), (8000, 1)])
def test_up_to_8k(executor, size):
    check(executor, InputSpec(size=(64, 36)), [random_frame(*size, 'nv12')])


@given(
    sizes=st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=4),
    network=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    encodings=st.lists(st.sampled_from(sorted(DEVICE_ENCODINGS)), min_size=4, max_size=4),
    padding=st.integers(0, 7),
    resize=st.sampled_from(['letterbox', 'stretch']),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30, deadline=None)
def test_any_batch(executor, sizes, network, encodings, padding, resize, seed):
    frames = [
        random_frame(*size, encoding, padding=padding, seed=seed)
        for size, encoding in zip(sizes, encodings, strict=False)
    ]
    check(executor, InputSpec(size=network, resize=resize), frames, np.float16)


@pytest.mark.gpu
def test_a_cuda_graph_does_it_again(gpu):
    kernel = LetterboxKernel(gpu, SPEC, np.float16)
    image = on_device(gpu, random_frame(120, 90, 'bgr8'))
    nbytes = 3 * 72 * 40 * 2
    tensor = gpu.allocate(nbytes)

    def enqueue():
        kernel.enqueue([image], tensor, gpu.stream)

    enqueue()
    once = gpu.download(tensor, np.uint8, nbytes)
    again = gpu.replayed(enqueue, tensor, nbytes)
    gpu.free()
    np.testing.assert_array_equal(again, once)
