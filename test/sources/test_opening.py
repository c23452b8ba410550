import pytest

from trt_perception.errors import ParameterError, SourceError
from trt_perception.preprocessing.colour import to_bgr
from trt_perception.sources.opening import open_source


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('', 'the source is empty'),
        ('nowhere.png', 'no such file or folder'),
        ('/dev/video987', 'no such device'),
        ('synthetic:holiday', 'training, calibration, validation, test'),
        ('x' * 5000, 'name too long'),
    ],
)
def test_what_cannot_be_opened_is_refused(text, says):
    with pytest.raises(SourceError, match=says):
        open_source(text)


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    path = tmp_path / 'data.csv'
    path.write_text('1,2')
    with pytest.raises(SourceError, match=r'data\.csv: what kind of file.*\.png.*\.mp4.*\.mcap'):
        open_source(str(path))


def test_kinds_are_told_apart(write_image, write_video, write_bag, image_message, tmp_path):
    image = write_image('pictures/a.PNG', 1)
    bag = write_bag({'/image': [image_message()]})
    opened = {
        'ImageSource': image,
        'FolderSource': image.parent,
        'VideoSource': write_video(),
        'BagSource': bag,
    }
    for kind, path in opened.items():
        with open_source(str(path)) as source:
            assert type(source).__name__ == kind


@pytest.mark.parametrize(
    ('option', 'value'), [('size', (0, 5)), ('size', (20000, 20000)), ('rate', 0.0), ('rate', -1.0)]
)
def test_impossible_values_are_refused(write_image, option, value):
    with pytest.raises(SourceError, match=option):
        open_source(str(write_image('a.png')), **{option: value})


def test_files_are_resized_and_encoded(write_image):
    path = write_image('a.png', 2, 64, 48)
    with open_source(str(path), size=(32, 20), encoding='nv12', frame_id='front') as source:
        (frame,) = source
    assert (source.size, source.count, source.label) == ((32, 20), 1, 'a')
    assert (frame.width, frame.height, frame.encoding) == (32, 20, 'nv12')
    assert frame.frame_id == 'front'
    assert int(to_bgr(frame)[10, 10, 0]) == pytest.approx(60, abs=2)


def test_an_encoding_that_does_not_fit_is_refused_at_once(write_image):
    path = str(write_image('a.png', 0, 63, 48))
    with pytest.raises(ParameterError, match='even width'):
        open_source(path, encoding='nv12')
    with pytest.raises(ParameterError, match='cannot be produced'):
        open_source(path, encoding='cmyk')


def test_a_bag_is_untouched_unless_something_else_is_asked_for(write_bag, image_message):
    path = str(write_bag({'/image': [image_message()]}))
    (frame,) = open_source(path)
    assert (frame.encoding, frame.step) == ('mono16', 10)
    (frame,) = open_source(path, encoding='mono8')
    assert (frame.encoding, frame.step, frame.frame_id) == ('mono8', 4, 'left_optical')
    assert frame.stamp_ns == 1700000000 * 10**9


def test_conversion_counts_the_frames_it_cannot_read(write_bag, image_message):
    bad = image_message(1)
    bad.step = 3
    path = str(write_bag({'/image': [image_message(), bad]}))
    with open_source(path, encoding='bgr8') as source:
        assert len(list(source)) == 1
        assert source.skipped == {'bad_step': 1}


def test_a_loop_repeats_with_stamps_that_rise(write_video):
    with open_source(str(write_video(frames=3, rate=20.0)), loop=True) as source:
        assert source.count is None
        frames = [frame for frame, _ in zip(source, range(8), strict=False)]
    assert [f.stamp_ns for f in frames] == [n * 50_000_000 for n in range(8)]
    assert to_bgr(frames[0])[0, 0, 0] == to_bgr(frames[3])[0, 0, 0]


def test_a_loop_over_files_leaves_them_unstamped(write_image):
    with open_source(str(write_image('a.png')), loop=True, rate=5.0) as source:
        frames = [frame for frame, _ in zip(source, range(3), strict=False)]
    assert [f.stamp_ns for f in frames] == [0, 0, 0]
    assert source.rate == 5.0


def test_a_loop_over_nothing_ends_with_an_error(write_bag, image_message):
    bad = image_message()
    bad.step = 1
    path = str(write_bag({'/image': [bad]}))
    with pytest.raises(SourceError, match='no frame that could be repeated'):
        list(open_source(path, encoding='bgr8', loop=True))
