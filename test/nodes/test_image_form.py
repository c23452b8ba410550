"""Size, encoding and coordinate frame of a camera's images, and their changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trt_perception.frames import Frame
from trt_perception.nodes.image_form import ImageForm

FIRST = Frame.from_bgr(np.zeros((480, 640, 3), np.uint8), frame_id='front')


def test_before_the_first_image_there_is_no_form():
    form = ImageForm()
    assert (form.newest, form.changes, form.unsaid()) == ('', 0, '')


def test_images_that_stay_the_same_change_nothing():
    form = ImageForm()
    for stamp in (1, 2, 3):
        form.note(replace(FIRST, stamp_ns=stamp))
    assert (form.newest, form.changes, form.unsaid()) == (
        '640x480 bgr8 in the frame front',
        0,
        '',
    )


def test_changes_are_counted_and_the_first_one_is_told_once():
    form = ImageForm()
    form.note(FIRST)
    form.note(replace(FIRST, frame_id='rear'))
    form.note(replace(FIRST, width=320, height=240, step=960, frame_id='rear'))
    form.note(replace(FIRST, encoding='rgb8'))
    assert form.changes == 3
    assert form.newest == '640x480 rgb8 in the frame front'
    assert form.unsaid() == (
        '640x480 bgr8 in the frame rear, before 640x480 bgr8 in the frame front'
    )
    assert form.unsaid() == ''


def test_names_from_outside_are_shown_short_and_on_one_line():
    form = ImageForm()
    form.note(replace(FIRST, encoding='x' * 1000, frame_id='a\nb'))
    assert form.newest == f"640x480 {'x' * 60} in the frame 'a\\nb'"
    form.note(replace(FIRST, frame_id=''))
    assert form.newest == "640x480 bgr8 in the frame ''"


def test_compressed_images_have_no_size_yet():
    form = ImageForm()
    form.note(Frame.from_file_bytes(b'\xff\xd8', frame_id='front'))
    assert form.newest == 'compressed in the frame front'
