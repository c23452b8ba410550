import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.decoding.class_map import interpolated_classes, nearest_classes
from trt_perception.kernels.class_map import ID_TYPES, ClassMapKernels, GridLayout
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import UNLABELLED

PALETTE = np.random.default_rng(5).integers(0, 256, (256, 3), np.uint8)
SIZES = [(1, 1), (130, 70), (64, 48), (257, 3), (3, 400), (32, 24)]


def table_of(classes, class_filter):
    table = np.full(256, UNLABELLED, np.uint8)
    kept = range(classes) if class_filter is None else sorted(class_filter)
    table[list(kept)] = kept
    return table


def reference(layout, cells, letterbox, class_filter):
    table = table_of(layout.classes, class_filter)
    if layout.are_ids:
        return nearest_classes(cells, letterbox, table)
    with np.errstate(all='ignore'):
        return interpolated_classes(cells.astype(np.float32), letterbox, table)


def check(executor, cells, letterboxes, *, classes=None, class_filter=None, colour=True):
    """Ids and colours are the CPU's."""
    classes = cells.shape[1] if classes is None else classes
    layout = GridLayout(classes, cells.shape[:-3:-1], cells.dtype)
    kernels = ClassMapKernels(executor, layout, PALETTE)
    scratch = executor.allocate(kernels.scratch_bytes(letterboxes))
    areas = [int(np.prod(letterbox.source)) for letterbox in letterboxes]
    ids = [executor.allocate(area) for area in areas]
    colours = [executor.allocate(3 * area) if colour else 0 for area in areas]
    source = executor.upload(cells)
    kernels.enqueue(source, letterboxes, class_filter, scratch, ids, colours, executor.stream)
    executor.check_rim(scratch)
    for image, letterbox, out, picture in zip(cells, letterboxes, ids, colours, strict=True):
        shape = letterbox.source[::-1]
        expected = reference(layout, image, letterbox, class_filter)
        np.testing.assert_array_equal(executor.download(out, np.uint8, shape), expected)
        if colour:
            found = executor.download(picture, np.uint8, (*shape, 3))
            np.testing.assert_array_equal(found, PALETTE[expected])
    executor.free()


def logits(batch, classes, height, width, seed=0, steps=0):
    drawn = np.random.default_rng(seed).normal(size=(batch, classes, height, width))
    if steps:
        drawn = np.round(drawn * steps) / steps
    return drawn.astype(np.float32)


@pytest.mark.parametrize('dtype', [np.float32, np.float16])
def test_images_of_several_sizes(executor, dtype):
    letterboxes = [Letterbox.fit(size, (64, 48)) for size in SIZES]
    check(executor, logits(len(SIZES), 5, 12, 16).astype(dtype), letterboxes)


def test_grids_of_one_cell(executor):
    letterboxes = [Letterbox.fit(size, (64, 48)) for size in SIZES]
    check(executor, logits(len(SIZES), 3, 1, 1), letterboxes)
    check(executor, logits(len(SIZES), 3, 1, 7), letterboxes)
    check(executor, logits(len(SIZES), 3, 7, 1), letterboxes)


def test_without_colours(executor):
    check(executor, logits(1, 3, 8, 8), [Letterbox.fit((50, 40), (64, 64))], colour=False)


def test_colours_need_a_palette(executor):
    kernels = ClassMapKernels(executor, GridLayout(2, (4, 4), np.dtype(np.float32)))
    with pytest.raises(ValueError, match='palette'):
        kernels.enqueue(0, [Letterbox.fit((4, 4), (4, 4))], None, 0, [0], [1], executor.stream)


@pytest.mark.parametrize(('classes', 'dtype'), [(0, 'float32'), (256, 'float32'), (2, 'float64')])
def test_other_outputs_are_refused(executor, classes, dtype):
    with pytest.raises(ValueError, match='the kernels'):
        ClassMapKernels(executor, GridLayout(classes, (4, 4), np.dtype(dtype)))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 3e38])
def test_logits_that_are_not_finite(executor, bad):
    cells = logits(1, 4, 9, 11)
    cells[0, :, np.arange(9), np.arange(9)][::2] = 0
    cells[0, 2, 3, 4] = cells[0, 0, 8, 10] = cells[0, 1, 0, 0] = cells[0, 3, 0, 0] = bad
    check(executor, cells, [Letterbox.fit((200, 90), (44, 36))])


def test_huge_logits_whose_differences_overflow(executor):
    cells = logits(1, 4, 9, 11)
    # Of alternating signs, so that each cell's sum is finite.
    signs = (-1.0) ** (np.arange(9)[:, None] + np.arange(11))
    cells[0, 0], cells[0, 1] = 3e38 * signs, -3e38 * signs
    check(executor, cells, [Letterbox.fit((200, 90), (44, 36))])


def test_a_class_that_wins_nowhere_but_overflows_between_cells(executor):
    even = (np.arange(9)[:, None] + np.arange(11)) % 2 == 0
    upper = np.arange(9)[:, None] + np.zeros(11) < 4
    planes = np.where(even, -2.9e38, 0.7e38), np.where(upper, 1.3e38, 1.2e38)
    cells = np.stack([*planes, np.where(upper, 1.2e38, 1.3e38)])[None].astype(np.float32)
    assert np.isfinite(cells.sum(axis=1)).all()
    check(executor, cells, [Letterbox.fit((200, 90), (44, 36))])


@pytest.mark.parametrize('size', [1e-42, 1e-37, 1.0, 9e36, 3e37])
def test_logits_that_differ_by_rounding_only(executor, size):
    """Where interpolating rounds one way or the other, no class may be left out before it."""
    rng = np.random.default_rng(11)
    planes = rng.normal(size=(1, 1, 8, 10)).repeat(40, axis=1)
    cells = (planes * size).astype(np.float32)
    steps = rng.integers(-3, 4, cells.shape).astype(np.int32)
    cells = (cells.view(np.int32) + steps * (cells != 0)).view(np.float32)
    check(executor, cells, [Letterbox.fit((97, 61), (40, 32))])


def test_of_equal_logits_the_first_class_wins(executor):
    check(executor, logits(1, 6, 10, 10, steps=1), [Letterbox.fit((123, 77), (40, 40))])


@pytest.mark.parametrize('class_filter', [frozenset(), frozenset({1, 4})])
def test_a_class_filter(executor, class_filter):
    letterbox = Letterbox.fit((123, 77), (40, 40))
    check(executor, logits(1, 6, 10, 10), [letterbox], class_filter=class_filter)


@pytest.mark.parametrize('dtype', ID_TYPES)
def test_class_ids(executor, dtype):
    kind = np.iinfo(dtype)
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 7, (2, 20, 30)).astype(dtype)
    rare = rng.random(ids.shape) < 0.1
    ids[rare] = rng.choice([kind.min, kind.max, 5, 6], rare.sum())
    letterboxes = [Letterbox.fit(size, (60, 40)) for size in [(133, 71), (20, 50)]]
    check(executor, ids, letterboxes, classes=6)


def test_more_images_than_one_launch_takes(executor):
    letterboxes = [Letterbox.fit((20 + i, 9), (32, 32)) for i in range(18)]
    check(executor, logits(18, 2, 8, 8), letterboxes)


def test_an_image_of_8k(executor):
    check(executor, logits(1, 2, 16, 16), [Letterbox.fit(executor.largest, (64, 64))], colour=False)


@given(
    source=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    network=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    grid=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    classes=st.integers(1, 70),
    half=st.booleans(),
    steps=st.sampled_from([0, 1, 4]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_any_logits(executor, source, network, grid, classes, half, steps, seed):
    cells = logits(1, classes, *grid, seed, steps).astype(np.float16 if half else np.float32)
    rare = np.random.default_rng(seed).random(cells.shape) < 0.002
    cells[rare] = np.nan
    check(executor, cells, [Letterbox.fit(source, network)])
