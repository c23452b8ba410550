import pytest

from trt_perception.exporter_metadata import (
    input_of,
    key_point_names_of,
    key_point_shape_of,
    size_of,
    task_of,
)


def test_nothing_said():
    assert task_of({}) is None
    assert size_of({}) is None
    assert key_point_shape_of({}) is None
    assert key_point_names_of({}) == ()
    assert input_of({}, (64, 64)) == {}


@pytest.mark.parametrize(('said', 'task'), [('segment', 'instance'), ('obb', 'oriented')])
def test_tasks_of_other_names(said, task):
    assert task_of({'task': said}) == task
    assert task_of({'task': task}) == task


def test_the_size_is_written_height_first():
    assert size_of({'imgsz': '[384, 640]'}) == (640, 384)


@pytest.mark.parametrize('text', ['640', '[640]', '["a", "b"]', '[1.5, 2]', '[', 'None'])
def test_what_is_no_pair_of_whole_numbers_says_nothing(text):
    assert size_of({'imgsz': text}) is None
    assert key_point_shape_of({'kpt_shape': text}) is None


def test_key_points():
    assert key_point_shape_of({'kpt_shape': '[17, 3]'}) == (17, 3)
    assert key_point_names_of({'kpt_names': "{0: ['nose', 'tail']}"}) == ('nose', 'tail')
    assert key_point_names_of({'key_points': '["nose"]'}) == ('nose',)
    assert key_point_names_of({'kpt_names': '{}'}) == ()
