import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trt_perception.errors import ParameterError
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.encode import ENCODINGS, encode

GRAY = ('mono8', 'mono16')
EXACT = ('bgr8', 'rgb8', 'bgra8', 'rgba8')
SUBSAMPLED = tuple(e for e in ENCODINGS if e not in GRAY + EXACT)
images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))
colors = st.tuples(*[st.integers(0, 255)] * 3)
even = st.integers(1, 8).map(lambda n: 2 * n)


def flat(color, width, height):
    return np.full((height, width, 3), color, np.uint8)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_the_smallest_image_comes_back(encoding):
    image = flat((200, 200, 200), 2, 2)
    frame = encode(image, encoding, stamp_ns=5, frame_id='front')
    assert (frame.stamp_ns, frame.frame_id, frame.encoding) == (5, 'front', encoding)
    np.testing.assert_allclose(to_bgr(frame), image, atol=2)


@pytest.mark.parametrize('encoding', EXACT)
@given(image=images)
def test_color_encodings_lose_nothing(encoding, image):
    np.testing.assert_array_equal(to_bgr(encode(image, encoding)), image)


@pytest.mark.parametrize('encoding', GRAY)
@given(image=images)
def test_gray_encodings_agree_with_each_other(encoding, image):
    seen = to_bgr(encode(image, encoding))
    np.testing.assert_array_equal(seen, to_bgr(encode(image, 'mono8')))
    luma = image @ np.array([0.114, 0.587, 0.299])
    np.testing.assert_allclose(seen[:, :, 0], luma, atol=1)


@pytest.mark.parametrize('encoding', SUBSAMPLED)
@given(color=colors, width=even, height=even)
def test_flat_colors_survive_subsampling(encoding, color, width, height):
    image = flat(color, width, height)
    # Limited-range YUV has fewer levels than RGB.
    np.testing.assert_allclose(to_bgr(encode(image, encoding)).astype(int), image, atol=4)


@pytest.mark.parametrize('encoding', SUBSAMPLED)
def test_left_and_right_halves_stay_where_they_are(encoding):
    image = np.hstack([flat((255, 30, 10), 8, 8), flat((20, 40, 250), 8, 8)])
    seen = to_bgr(encode(image, encoding))
    np.testing.assert_allclose(seen[:, 2:6].astype(int), image[:, 2:6], atol=4)
    np.testing.assert_allclose(seen[:, 10:14].astype(int), image[:, 10:14], atol=4)


def test_what_cannot_be_produced_is_refused():
    image = flat((1, 2, 3), 3, 3)
    with pytest.raises(ParameterError, match=r"'32FC1'.*bgr8, rgb8"):
        encode(image, '32FC1')
    for encoding in ('nv12', 'uyvy', 'yuv422', 'yuv422_yuy2'):
        with pytest.raises(ParameterError, match='even width'):
            encode(image, encoding)
    with pytest.raises(ParameterError, match='even height'):
        encode(flat((1, 2, 3), 4, 3), 'nv12')
