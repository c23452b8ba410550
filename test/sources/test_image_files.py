from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.errors import SourceError
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.image_files import FolderSource, ImageSource, natural_key


def levels(source):
    return [int(to_bgr(frame)[0, 0, 0]) for frame in source]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match='no images in this folder'):
        FolderSource(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match='cannot be listed'):
        FolderSource(tmp_path / 'gone')


def test_an_image_is_one_frame(write_image):
    source = ImageSource(write_image('a.png', 3), 'front')
    (frame,) = source
    assert (source.size, source.count, source.label) == ((64, 48), 1, 'a')
    assert (frame.frame_id, frame.stamp_ns, source.stamps) == ('front', 0, 'none')
    assert levels(source) == [80]


def test_transparency_and_depth_become_plain_bgr(tmp_path):
    deep = np.full((4, 6, 4), 0x8000, np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    (frame,) = ImageSource(tmp_path / 'deep.png')
    assert to_bgr(frame).shape == (4, 6, 3)
    assert to_bgr(frame)[0, 0, 0] == 0x80


@pytest.mark.parametrize('content', [b'', b'not a picture', b'\x89PNG\r\n\x1a\n'])
def test_what_is_no_image_is_refused_by_name(tmp_path, content):
    path = tmp_path / 'broken.png'
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r'broken\.png.*cannot be read as an image'):
        ImageSource(path)


def test_a_jpeg_that_is_cut_off_is_refused_rather_than_shown_half_grey(write_image):
    path = write_image('cut.jpg', 4, 640, 480)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SourceError, match='cut off'):
        ImageSource(path)


def test_a_folder_is_read_in_natural_order(write_image, tmp_path):
    for name, number in (('f10.png', 3), ('f2.png', 2), ('F1.png', 1)):
        write_image(name, number)
    (tmp_path / 'notes.txt').write_text('not an image')
    source = FolderSource(tmp_path)
    assert source.count == 3
    assert levels(source) == [40, 60, 80]
    assert levels(source) == [40, 60, 80]


def test_unreadable_files_are_skipped_and_counted(write_image, tmp_path, caplog):
    (tmp_path / 'a.jpg').write_bytes(b'garbage')
    write_image('b.png', 1)
    (tmp_path / 'c.png').write_bytes(b'')
    source = FolderSource(tmp_path)
    assert levels(source) == [40]
    assert source.skipped == {'unreadable': 2}
    assert 'a.jpg: skipped' in caplog.text


def test_a_folder_without_a_readable_image_is_refused(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'garbage')
    with pytest.raises(SourceError, match='none of its 1 images can be decoded'):
        FolderSource(tmp_path)


def test_closing_ends_a_running_iteration(write_image, tmp_path):
    for number in range(3):
        write_image(f'{number}.png', number)
    with FolderSource(tmp_path) as source:
        frames = iter(source)
        next(frames)
        source.close()
        assert list(frames) == []


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20, unique=True))
def test_numbers_in_names_sort_by_value(numbers):
    paths = [Path(f'frame_{number}_left.png') for number in numbers]
    ordered = [Path(f'frame_{number}_left.png') for number in sorted(numbers)]
    assert sorted(paths, key=natural_key) == ordered


@given(st.lists(st.text(min_size=1), max_size=10))
def test_any_names_can_be_ordered(names):
    paths = [Path('folder', name.replace('/', '-').replace('\0', '-')) for name in names]
    assert len(sorted(paths, key=natural_key)) == len(names)
