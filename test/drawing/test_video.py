import cv2
import numpy as np
import pytest

from trt_perception.drawing.video import VideoWriter
from trt_perception.errors import OutputError


def gray_image(level, width=64, height=48):
    return np.full((height, width, 3), level, np.uint8)


def read(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        readable, image = capture.read()
        if not readable:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(image)


def test_without_a_picture_there_is_no_file(tmp_path):
    with VideoWriter(tmp_path / 'empty.mp4', 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_pictures_come_back_in_order(tmp_path):
    levels = [20, 80, 140, 200, 100, 40]
    with VideoWriter(tmp_path / 'sub' / 'clip.mp4', 12.5) as writer:
        for level in levels:
            writer.write(gray_image(level))
    frames, rate = read(tmp_path / 'sub' / 'clip.mp4')
    assert [int(f.mean()) for f in frames] == pytest.approx(levels, abs=4)
    assert rate == pytest.approx(12.5)
    assert writer.frames == 6


def test_browsers_know_the_codec(tmp_path):
    with VideoWriter(tmp_path / 'clip.mp4', 10) as writer:
        writer.write(gray_image(50))
    assert writer.codec in ('vp09', 'avc1')
    content = (tmp_path / 'clip.mp4').read_bytes()
    assert writer.codec.encode() in content


def test_odd_and_changing_sizes_become_one_even_size(tmp_path):
    with VideoWriter(tmp_path / 'clip.mp4', 10, max_width=100) as writer:
        for width, height in ((201, 101), (64, 48), (999, 37)):
            writer.write(gray_image(90, width, height))
    frames, _ = read(tmp_path / 'clip.mp4')
    assert [f.shape for f in frames] == [(50, 100, 3)] * 3


def test_noise_is_smoothed_and_lines_are_not(tmp_path):
    rng = np.random.default_rng(2)
    noisy = np.rint(rng.normal(120, 4, (96, 128, 3))).astype(np.uint8)
    noisy[40:43, 10:110] = (250, 250, 250)
    with VideoWriter(tmp_path / 'clip.mp4', 10) as writer:
        for _ in range(4):
            writer.write(noisy)
    frames, _ = read(tmp_path / 'clip.mp4')
    assert frames[-1][60:90, 10:110].std() < 0.6 * noisy[60:90, 10:110].std()
    assert frames[-1][41, 20:100].mean() > 225
    assert frames[-1][36, 20:100].mean() < 140


@pytest.mark.parametrize(('name', 'rate'), [('clip.avi', 10), ('clip.mp4', 0), ('clip.mp4', -1)])
def test_impossible_files_are_refused(tmp_path, name, rate):
    with pytest.raises(OutputError, match=name):
        VideoWriter(tmp_path / name, rate)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / 'file').write_text('in the way')
    writer = VideoWriter(tmp_path / 'file' / 'clip.mp4', 10)
    with pytest.raises(OutputError, match='folder cannot be made'):
        writer.write(gray_image(1))
    writer.close()
