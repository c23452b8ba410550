import pytest

from trt_perception.errors import SourceError
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.video import VideoSource


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / 'empty.mp4').write_bytes(b'')
    with pytest.raises(SourceError, match=r'empty\.mp4: OpenCV cannot open it'):
        VideoSource(tmp_path / 'empty.mp4')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r'gone\.mp4: no such video file'):
        VideoSource(tmp_path / 'gone.mp4')


def test_frames_come_in_order_with_the_time_in_the_video(write_video):
    source = VideoSource(write_video(frames=6, rate=20.0), 'front')
    frames = list(source)
    assert (source.size, source.count, source.rate) == ((64, 48), 6, 20.0)
    assert source.stamps == 'since_start'
    assert [f.stamp_ns for f in frames] == [index * 50_000_000 for index in range(6)]
    shown = [int(to_bgr(f)[24, 32, 0]) for f in frames]
    assert shown == pytest.approx([20, 40, 60, 80, 100, 120], abs=3)
    assert {f.frame_id for f in frames} == {'front'}


def test_a_second_pass_begins_at_the_start(write_video):
    source = VideoSource(write_video(frames=4))
    assert [f.stamp_ns for f in source] == [f.stamp_ns for f in source]


def test_a_video_that_is_cut_off_is_read_as_far_as_it_goes(write_video, caplog):
    path = write_video(frames=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    source = VideoSource(path)
    frames = list(source)
    assert 5 < len(frames) < 35
    assert source.count == 40
    assert source.skipped == {'missing_at_end': 40 - len(frames)}
    assert 'ended after' in caplog.text


def test_an_mp4_without_its_index_is_refused(write_video):
    path = write_video('clip.mp4', frames=20, codec='mp4v')
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(SourceError, match='cut off, damaged'):
        VideoSource(path)


def test_closing_ends_a_running_iteration(write_video):
    source = VideoSource(write_video())
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    assert source.skipped == {}
