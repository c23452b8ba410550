from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.decoding.dense import DenseDecoder
from trt_perception.decoding.interpolation import axes_of
from trt_perception.kernels.dense_head import DenseHeadKernels, HeadLayout
from trt_perception.kernels.instance_masks import (
    MOST_CHANNELS,
    InstanceMaskKernels,
    Prototypes,
    bytes_needed,
    mask_layouts,
    read_ids,
    read_masks,
)
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

NETWORK = (160, 96)
ROOM = 4 << 20


def reference(layout, predictions, prototypes, letterboxes, thresholds):
    classes = tuple(ClassSpec(f'class {i}') for i in range(layout.classes))
    spec = ModelSpec(
        name='m',
        onnx=Path('m'),
        family='yolov8',
        task='instance',
        input=InputSpec(NETWORK),
        classes=classes,
    )
    tensors = {'output0': predictions, 'output1': prototypes}
    outputs = [TensorSpec(name, value.dtype, value.shape) for name, value in tensors.items()]
    decoder = DenseDecoder(spec, outputs, objectness=layout.objectness)
    with np.errstate(all='ignore'):
        return decoder.decode(tensors, letterboxes, thresholds)


class Drawn:
    """What the kernels make of a batch."""

    def __init__(self, executor, layout, predictions, prototypes, letterboxes, thresholds, room):
        head = DenseHeadKernels(executor, layout)
        grid = Prototypes(prototypes.shape[1], prototypes.shape[:-3:-1])
        kernels = InstanceMaskKernels(executor, head, grid, id_image=True)
        batch = len(letterboxes)
        self.layouts, _, end = mask_layouts(letterboxes, 0, [room] * batch, id_image=True)
        source, cells = executor.upload(predictions), executor.upload(prototypes)
        scratch = executor.allocate(head.scratch_bytes(batch))
        places = executor.allocate(kernels.scratch_bytes(letterboxes))
        objects = executor.allocate(head.result_bytes(batch))
        result = executor.allocate(end)
        stream = executor.stream
        head.enqueue(source, letterboxes, thresholds, scratch, objects, stream)
        addresses = source, cells, objects
        kernels.enqueue(addresses, letterboxes, self.layouts, places, result, stream)
        executor.check_rim(places)
        copied = executor.download(objects, np.uint8, head.result_bytes(batch))
        self.objects = head.read(copied, batch)
        self.result = executor.download(result, np.uint8, end)
        executor.free()


def uncertain(prototypes, coefficients, mask, letterbox):
    """bool, where rounding alone decides: the logit in float64 is all but 0."""
    x, y = axes_of(letterbox, prototypes.shape[:0:-1])
    height, width = mask.bits.shape
    columns, rows = slice(mask.x, mask.x + width), slice(mask.y, mask.y + height)
    cells = np.tensordot(coefficients.astype(float), prototypes.astype(float), 1)
    size = np.tensordot(np.abs(coefficients).astype(float), np.abs(prototypes).astype(float), 1)
    across, down = x.fraction[columns], y.fraction[rows, None]
    wide = cells[:, x.lower[columns]] * (1 - across) + cells[:, x.upper[columns]] * across
    logits = wide[y.lower[rows]] * (1 - down) + wide[y.upper[rows]] * down
    return np.abs(logits) < 1e-5 * size.max()


def check(
    executor,
    layout,
    predictions,
    prototypes,
    letterboxes,
    thresholds=None,
    *,
    exact=True,
    room=ROOM,
):
    """Masks and id images are the CPU's. Gives the number of objects."""
    thresholds = thresholds or DecodeSettings()
    drawn = Drawn(executor, layout, predictions, prototypes, letterboxes, thresholds, room)
    expected = reference(layout, predictions, prototypes, letterboxes, thresholds)
    for i, theirs in enumerate(expected):
        objects, result, part = drawn.objects[i], drawn.result, drawn.layouts[i]
        assert bytes_needed(result, part) <= room
        masks = read_masks(result, part, len(objects.scores))
        np.testing.assert_array_equal(objects.boxes, theirs.boxes)
        assert len(masks) == len(theirs.masks)
        for mine, mask, anchor in zip(masks, theirs.masks, objects.anchors, strict=True):
            assert (mine.x, mine.y, mine.bits.shape) == (mask.x, mask.y, mask.bits.shape)
            wrong = mine.bits != mask.bits
            if wrong.any() and not exact:
                row = predictions[i, anchor] if layout.objectness else predictions[i, :, anchor]
                coefficients = row[-layout.extras :].astype(np.float32)
                wrong &= ~uncertain(prototypes[i], coefficients, mask, letterboxes[i])
            assert not wrong.any()
        ids = read_ids(result, part, letterboxes[i])
        if exact:
            np.testing.assert_array_equal(ids, theirs.id_image())
    return [len(objects.scores) for objects in drawn.objects]


def scene(layout, cells, *, batch=1, seed=0, steps=8):
    """Boxes all over the network's input; with steps, sums are exact in any order."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((batch, layout.anchors, layout.values), np.float32)
    rows[..., :2] = rng.random((batch, layout.anchors, 2)) * NETWORK
    rows[..., 2:4] = rng.random((batch, layout.anchors, 2)) * 60
    before = layout.values - layout.extras
    rows[..., 4:before] = rng.random((batch, layout.anchors, before - 4)) * 0.9
    rows[..., before:] = rng.normal(size=(batch, layout.anchors, layout.extras))
    prototypes = rng.normal(size=(batch, layout.extras, *cells)).astype(np.float32)
    if steps:
        rows[..., before:] = np.round(rows[..., before:] * steps) / steps
        prototypes = np.round(prototypes * steps) / steps
    predictions = rows if layout.objectness else rows.transpose(0, 2, 1)
    predictions = np.ascontiguousarray(predictions, layout.dtype)
    return predictions, prototypes.astype(layout.dtype)


LAYOUT = HeadLayout(40, 2, extras=8)


def test_no_objects(executor):
    predictions, prototypes = scene(LAYOUT, (24, 40))
    predictions[:, 4:6] = 0
    assert check(executor, LAYOUT, predictions, prototypes, [Letterbox.fit((99, 77), NETWORK)]) == [
        0
    ]


@pytest.mark.parametrize(
    'layout',
    [
        LAYOUT,
        HeadLayout(40, 2, extras=32, dtype=np.dtype(np.float16)),
        HeadLayout(30, 3, extras=5, objectness=True),
    ],
)
def test_images_of_several_sizes(executor, layout):
    sizes = [(1280, 720), (1, 1), (33, 99), (160, 96), (700, 20), (20, 700)]
    letterboxes = [Letterbox.fit(size, NETWORK) for size in sizes]
    found = check(executor, layout, *scene(layout, (24, 40), batch=6), letterboxes)
    assert sum(found) > 20


@pytest.mark.parametrize('cells', [(1, 1), (1, 9), (9, 1), (96, 160), (200, 300)])
def test_grids_of_any_size(executor, cells):
    letterboxes = [Letterbox.fit((90, 60), NETWORK)]
    assert check(executor, LAYOUT, *scene(LAYOUT, cells), letterboxes)[0] > 5


@pytest.mark.parametrize('most', [1, 4, 5, 255, 256, 257, 1024])
def test_any_number_of_objects(executor, most):
    layout = HeadLayout(1100, 1, extras=2)
    predictions, prototypes = scene(layout, (12, 20))
    predictions[:, 2:4] = np.minimum(predictions[:, 2:4], 9) + 1
    predictions[:, 4] = np.linspace(0.9, 0.5, 1100)
    letterboxes = [Letterbox.fit((90, 60), NETWORK)]
    chosen = DecodeSettings(0.2, 1.0, most)
    assert check(executor, layout, predictions, prototypes, letterboxes, chosen) == [most]


def test_numbers_that_are_not_finite(executor):
    predictions, prototypes = scene(LAYOUT, (24, 40))
    rng = np.random.default_rng(3)
    rare = rng.random(prototypes.shape) < 0.01
    prototypes[rare] = rng.choice([np.nan, np.inf, -np.inf, 3e38], rare.sum())
    predictions[0, -3, ::5] = np.nan
    check(executor, LAYOUT, predictions, prototypes, [Letterbox.fit((320, 192), NETWORK)])


def test_random_logits_differ_by_rounding_only(executor):
    layout = HeadLayout(60, 2, extras=32)
    letterboxes = [Letterbox.fit((640, 384), NETWORK)]
    check(executor, layout, *scene(layout, (24, 40), steps=0), letterboxes, exact=False)


def test_an_image_of_8k(executor):
    """One of its objects is as large as it is."""
    layout = HeadLayout(2, 1, extras=2)
    predictions, prototypes = scene(layout, (6, 10))
    predictions[0, :5] = [[80, 60], [48, 50], [160, 90], [96, 3], [0.9, 0.8]]
    width, height = executor.largest
    placed = [Letterbox.fit((width, height), NETWORK)]
    chosen = DecodeSettings(0.1, 1.0)
    room = 2 * width * height
    assert check(executor, layout, predictions, prototypes, placed, chosen, room=room) == [2]


def test_more_images_than_one_launch_takes(executor):
    letterboxes = [Letterbox.fit((50 + i, 40), NETWORK) for i in range(18)]
    check(executor, LAYOUT, *scene(LAYOUT, (24, 40), batch=18), letterboxes)


def test_an_arena_that_is_too_small_says_how_much_it_needs(executor):
    letterboxes = [Letterbox.fit((1280, 720), NETWORK)]
    made = scene(LAYOUT, (24, 40))
    thresholds = DecodeSettings()
    whole = Drawn(executor, LAYOUT, *made, letterboxes, thresholds, ROOM)
    needed = bytes_needed(whole.result, whole.layouts[0])
    count = len(whole.objects[0].scores)
    all_masks = read_masks(whole.result, whole.layouts[0], count)
    for room in (0, needed // 2, needed - 16, needed):
        drawn = Drawn(executor, LAYOUT, *made, letterboxes, thresholds, room)
        assert bytes_needed(drawn.result, drawn.layouts[0]) == needed
        masks = read_masks(drawn.result, drawn.layouts[0], count)
        # The best objects come first.
        complete = [
            mask.bits.size == other.bits.size for mask, other in zip(masks, all_masks, strict=True)
        ]
        assert complete == sorted(complete, reverse=True)
        assert all(complete) == (drawn.layouts[0].arena_bytes >= needed)
        for mask, other in zip(masks, all_masks, strict=True):
            if mask.bits.size:
                np.testing.assert_array_equal(mask.bits, other.bits)


@pytest.mark.parametrize('room', [0, 256, 512])
def test_masks_that_just_fit(executor, room):
    layout = HeadLayout(2, 2, extras=2)
    predictions, prototypes = scene(layout, (6, 10))
    predictions[0, :4] = [[40], [40], [16], [16]]
    predictions[0, 4:6] = [[0.9, 0], [0, 0.8]]
    letterboxes = [Letterbox.fit(NETWORK, NETWORK)]
    drawn = Drawn(executor, layout, predictions, prototypes, letterboxes, DecodeSettings(), room)
    masks = read_masks(drawn.result, drawn.layouts[0], 2)
    assert [mask.bits.size for mask in masks] == [256 * (room >= 256), 256 * (room >= 512)]


def test_prototypes_that_do_not_fit_are_refused(executor):
    head = DenseHeadKernels(executor, LAYOUT)
    for channels in (0, 7, MOST_CHANNELS + 1):
        with pytest.raises(ValueError, match='prototypes'):
            InstanceMaskKernels(executor, head, Prototypes(channels, (4, 4)))


@given(
    source=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    cells=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    channels=st.integers(1, 12),
    half=st.booleans(),
    objectness=st.booleans(),
    most=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_any_masks(executor, source, cells, channels, half, objectness, most, seed):
    dtype = np.dtype(np.float16 if half else np.float32)
    layout = HeadLayout(30, 2, extras=channels, dtype=dtype, objectness=objectness)
    chosen = DecodeSettings(0.2, 0.8, most)
    letterboxes = [Letterbox.fit(source, NETWORK)]
    check(executor, layout, *scene(layout, cells, seed=seed, steps=4), letterboxes, chosen)
