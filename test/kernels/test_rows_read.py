"""Rows that are left out change nothing: the kernel and the CPU give the same without them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.kernels.letterbox import (
    DEVICE_ENCODINGS,
    INDEPENDENT_ROWS,
    DeviceImage,
    LetterboxKernel,
)
from trt_perception.kernels.rows_read import rows_read
from trt_perception.model_input import InputSpec
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.preprocessing.preprocessor import Preprocessor

from .test_letterbox import random_frame


def rows_of(sets):
    return [row for rows in sets for row in range(rows.first, 10**6, rows.period)[: rows.count]]


@pytest.mark.parametrize(
    ('source', 'network', 'firsts', 'period'),
    [
        ((1920, 1080), (640, 640), [1], 3),
        ((1920, 1080), (640, 384), [1], 3),
        ((3840, 2160), (640, 640), [2, 3], 6),
        ((2560, 1440), (640, 640), [1, 2], 4),
    ],
)
def test_rows_of_common_cameras(source, network, firsts, period):
    sets = rows_read(Letterbox.fit(source, network))
    assert [rows.first for rows in sets] == firsts
    assert {rows.period for rows in sets} == {period}
    assert {rows.count for rows in sets} == {source[1] // period}


@pytest.mark.parametrize('source', [(1, 1), (640, 480), (1280, 720), (1000, 999), (1920, 1081)])
def test_nothing_is_left_out_where_most_rows_are_read(source):
    assert rows_read(Letterbox.fit(source, (640, 640))) == ()


def test_encodings_whose_rows_depend_on_each_other_are_not_cut():
    assert {name for name in DEVICE_ENCODINGS if name.startswith(('bayer', 'nv'))} == (
        DEVICE_ENCODINGS - INDEPENDENT_ROWS
    )


@settings(max_examples=40, deadline=None)
@given(
    period=st.integers(2, 9),
    rows=st.integers(1, 40),
    width=st.integers(1, 90),
    spec=st.sampled_from(
        [
            InputSpec(size=(72, 40)),
            InputSpec(size=(16, 40)),
            InputSpec(size=(64, 40), pad='bottom_right'),
            InputSpec(size=(32, 32), resize='stretch'),
            InputSpec(size=(32, 32), resize='centre_crop'),
            InputSpec(size=(32, 32), resize='centre_crop', shorter_side=33),
        ]
    ),
)
def test_the_cpu_gives_the_same_without_the_other_rows(period, rows, width, spec):
    frame = random_frame(width, period * rows, 'bgr8')
    check_without(frame, spec, lambda image: on_cpu(image, spec))


def on_cpu(frame, spec):
    width, height = spec.size
    out = np.empty((3, height, width), np.float32)
    Preprocessor(spec)(to_bgr(frame), out)
    return out


def check_without(frame, spec, made):
    fit = Letterbox.fit(
        (frame.width, frame.height), spec.size, spec.resize, spec.pad, spec.shorter_side
    )
    read = rows_of(rows_read(fit))
    if not read:
        return
    assert max(read) < frame.height
    others = np.setdiff1d(np.arange(frame.height), read)
    cut = frame.data.copy()
    cut.reshape(frame.height, frame.step)[others] = 0xA5
    np.testing.assert_array_equal(made(replace(frame, data=cut)), made(frame))


@pytest.mark.parametrize('encoding', sorted(INDEPENDENT_ROWS))
@pytest.mark.parametrize('size', [(192, 108), (384, 240), (64, 320)])
def test_the_kernel_gives_the_same_without_the_other_rows(executor, encoding, size):
    spec = InputSpec(size=(64, 40))
    kernel = LetterboxKernel(executor, spec, np.float32)

    def made(frame):
        image = DeviceImage(
            executor.upload(frame.data), frame.width, frame.height, frame.step, frame.encoding
        )
        tensor = executor.allocate(4 * 3 * 64 * 40)
        kernel.enqueue([image], tensor, executor.stream)
        out = executor.download(tensor, np.float32, (3, 40, 64))
        executor.free()
        return out

    assert rows_read(Letterbox.fit(size, spec.size)), 'or this test tests nothing'
    check_without(random_frame(*size, encoding, padding=4), spec, made)
