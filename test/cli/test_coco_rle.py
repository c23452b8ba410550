import numpy as np
import pytest
from faster_coco_eval import mask as reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trt_perception.cli.coco_rle import decode_mask, encode_mask
from trt_perception.results import InstanceMask


@st.composite
def masks_in_images(draw):
    """A mask's cut, the image's (width, height), and the whole image as bool [H, W]."""
    rows, columns = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    left, top = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    width = max(1, left + columns + draw(st.integers(0, 5)))
    height = max(1, top + rows + draw(st.integers(0, 5)))
    bits = draw(hnp.arrays(bool, (rows, columns)))
    whole = np.zeros((height, width), bool)
    whole[top : top + rows, left : left + columns] = bits
    return InstanceMask(left, top, bits), (width, height), whole


def test_an_empty_mask_is_one_run():
    empty = InstanceMask(0, 0, np.zeros((0, 0), bool))
    encoded = encode_mask(empty, (4, 3))
    assert encoded['size'] == [3, 4]
    np.testing.assert_array_equal(decode_mask(encoded), np.zeros((3, 4), bool))


@given(masks_in_images())
def test_masks_come_back(case):
    mask, size, whole = case
    np.testing.assert_array_equal(decode_mask(encode_mask(mask, size)), whole)


@given(masks_in_images())
def test_the_coco_tools_write_the_same_text(case):
    mask, size, whole = case
    wanted = reference.encode(np.asfortranarray(whole, np.uint8))
    assert encode_mask(mask, size)['counts'] == wanted['counts'].decode()


def test_a_mask_over_the_whole_image_is_joined_across_columns():
    mask = InstanceMask(0, 0, np.ones((1080, 1920), bool))
    encoded = encode_mask(mask, (1920, 1080))
    assert len(encoded['counts']) < 8
    assert decode_mask(encoded).all()


def test_long_runs_come_back():
    bits = np.zeros((900, 1500), bool)
    bits[3:890, 10:1490:7] = True
    mask = InstanceMask(100, 50, bits)
    encoded = encode_mask(mask, (1920, 1080))
    whole = decode_mask(encoded)
    np.testing.assert_array_equal(whole[50:950, 100:1600], bits)
    assert whole.sum() == bits.sum()
    wanted = reference.encode(np.asfortranarray(whole, np.uint8))
    assert encoded['counts'] == wanted['counts'].decode()


def test_run_lengths_that_do_not_fill_the_image_are_refused():
    with pytest.raises(ValueError, match='add up to 4'):
        decode_mask({'size': [3, 4], 'counts': '4'})
