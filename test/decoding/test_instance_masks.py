import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.decoding.instance_masks import instance_masks
from trt_perception.preprocessing.letterbox import Letterbox

SOURCES = [(1920, 1080), (640, 480), (480, 640), (500, 500), (1000, 210), (64, 48), (20, 30)]


def plain_logits(prototypes, coefficients, letterbox):
    """float64 [N, H, W]: every pixel of the source, interpolated tap by tap."""
    logits = np.tensordot(coefficients.astype(float), prototypes.astype(float), 1)
    for axis in (0, 1):
        cells = logits.shape[2 - axis]
        stride = letterbox.network[axis] / cells
        centres = np.arange(letterbox.source[axis]) + 0.5
        network = centres * letterbox.resized[axis] / letterbox.source[axis]
        position = np.clip((network + letterbox.offset[axis]) / stride - 0.5, 0, cells - 1)
        lower = np.floor(position).astype(int)
        upper = np.minimum(lower + 1, cells - 1)
        weight = (position - lower) if axis == 0 else (position - lower)[:, None]
        low, high = logits.take(lower, axis=2 - axis), logits.take(upper, axis=2 - axis)
        logits = low * (1 - weight) + high * weight
    return logits


def smooth_prototypes(rng, channels, height, width):
    """Waves of a few cells' length, as networks give them."""
    y, x = np.mgrid[:height, :width]
    phases = rng.random((3, channels, 1, 1)) * 6
    return (np.sin(x / 3 + phases[0]) + np.cos(y / 4 + phases[1]) + phases[2] - 3).astype('f4')


def check(seed, source, network, stride, resize='letterbox', boxes_count=6):
    rng = np.random.default_rng(seed)
    letterbox = Letterbox.fit(source, network, resize)
    grid = (network[1] // stride, network[0] // stride)
    prototypes = smooth_prototypes(rng, 8, *grid)
    coefficients = rng.standard_normal((boxes_count, 8)).astype(np.float32)
    corners = np.sort(rng.uniform(-0.2, 1.2, (boxes_count, 2, 2)), axis=1).reshape(-1, 4)
    boxes = (corners * (network * 2)).astype(np.float32)
    masks = instance_masks(prototypes, coefficients, boxes, letterbox)
    logits = plain_logits(prototypes, coefficients, letterbox)
    x, y = np.arange(source[0]) + 0.5, np.arange(source[1])[:, None] + 0.5
    for mask, values, box in zip(masks, logits, letterbox.to_source(boxes), strict=True):
        whole = np.zeros(source[::-1], bool)
        height, width = mask.bits.shape
        whole[mask.y : mask.y + height, mask.x : mask.x + width] = mask.bits
        inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
        # Where the logit is all but 0 the rounding of float32 decides.
        decided = np.abs(values) > 1e-4
        assert np.array_equal(whole[decided], ((values > 0) & inside)[decided])
        assert not whole[~inside].any()
        assert np.mean(decided) > 0.99


def test_no_boxes_no_masks():
    letterbox = Letterbox.fit((64, 48), (64, 64))
    prototypes = np.zeros((8, 16, 16), np.float32)
    assert instance_masks(prototypes, np.zeros((0, 8)), np.zeros((0, 4)), letterbox) == []


@pytest.mark.parametrize('source', SOURCES)
def test_as_interpolating_the_whole_image(source):
    check(1, source, (128, 96), 4)


@given(
    st.integers(0, 1000),
    st.tuples(st.integers(1, 250), st.integers(1, 250)),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(['letterbox', 'stretch']),
)
@settings(max_examples=60)
def test_as_interpolating_the_whole_image_of_any_size(seed, source, stride, resize):
    check(seed, source, (64, 48), stride, resize)


def test_a_disc_comes_back_in_its_place():
    """One prototype that is the disc itself, drawn in the network's input at stride 4."""
    letterbox = Letterbox.fit((1920, 1080), (640, 384))
    centre, radius = np.array([701.3, 444.4]), 155.0
    network_centre = letterbox.to_network(centre)
    y, x = np.mgrid[:96, :160] * 4 + 2.0
    distance = np.hypot(x - network_centre[0], y - network_centre[1])
    prototypes = (radius / 3 - distance)[None].astype(np.float32)
    corners = np.concatenate([centre - radius, centre + radius])
    box = letterbox.to_network(corners)[None]
    (mask,) = instance_masks(prototypes, np.ones((1, 1), np.float32), box, letterbox)
    rows, columns = np.nonzero(mask.bits)
    found = np.array([columns.mean() + mask.x, rows.mean() + mask.y]) + 0.5
    assert np.abs(found - centre).max() < 0.5
    assert len(rows) == pytest.approx(np.pi * radius**2, rel=0.01)


def test_a_box_without_a_pixels_centre_has_an_empty_mask():
    letterbox = Letterbox.fit((64, 48), (64, 48))
    boxes = np.array([[10.6, 10, 11.4, 20], [200, 10, 210, 20], [5, 5, 5, 5]], np.float32)
    masks = instance_masks(np.ones((1, 12, 16), 'f4'), np.ones((3, 1), 'f4'), boxes, letterbox)
    assert [mask.bits.shape for mask in masks] == [(0, 0)] * 3


def test_a_mask_reaches_the_rim_of_the_image():
    letterbox = Letterbox.fit((50, 30), (64, 48))
    boxes = np.array([[-5, -5, 100, 100]], np.float32)
    (mask,) = instance_masks(np.ones((1, 12, 16), 'f4'), np.ones((1, 1), 'f4'), boxes, letterbox)
    assert (mask.x, mask.y, mask.bits.shape) == (0, 0, (30, 50))
    assert mask.bits.all()


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_prototypes_that_are_not_finite_claim_no_pixel(bad):
    letterbox = Letterbox.fit((64, 48), (64, 48))
    prototypes = np.ones((2, 12, 16), np.float32)
    prototypes[0, 6, 8] = bad
    boxes = np.array([[0, 0, 64, 48]], np.float32)
    with np.errstate(invalid='ignore'):
        (mask,) = instance_masks(prototypes, np.ones((1, 2), 'f4'), boxes, letterbox)
    assert not mask.bits[24:28, 32:36].any()
    assert mask.bits[:20].all()
    assert mask.bits[:, :28].all()


def test_float16_prototypes():
    check_half = Letterbox.fit((64, 48), (64, 48))
    prototypes = smooth_prototypes(np.random.default_rng(0), 4, 12, 16).astype(np.float16)
    arguments = (np.ones((1, 4), 'f4'), np.array([[0, 0, 64, 48]], 'f4'), check_half)
    (half,) = instance_masks(prototypes, *arguments)
    (single,) = instance_masks(prototypes.astype(np.float32), *arguments)
    assert np.array_equal(half.bits, single.bits)
