import pytest

from trt_perception.errors import OutputError
from trt_perception.replaying.parts_folder import (
    PartsFolder,
    finish,
    part_path,
    read_run,
    unfinished_path,
)

MADE_WITH = {'model': 'a', 'score': 0.25}


def write_part(folder, index, text='x'):
    written = unfinished_path(folder.path)
    written.mkdir()
    (written / 'file').write_text(text)
    finish(written, part_path(folder.path, index))


def test_a_new_folder_has_no_parts(tmp_path):
    with PartsFolder(tmp_path / 'bag', MADE_WITH) as folder:
        assert not folder.finished(0)
        assert read_run(folder.path) == MADE_WITH
        assert not (tmp_path / 'bag').exists()


def test_a_later_run_finds_finished_parts_and_removes_unfinished_ones(tmp_path):
    with PartsFolder(tmp_path / 'bag', MADE_WITH) as folder:
        write_part(folder, 3)
        left = unfinished_path(folder.path)
        left.mkdir()
        (left / 'half').write_text('of it')
    with PartsFolder(tmp_path / 'bag', MADE_WITH) as folder:
        assert folder.finished(3)
        assert not folder.finished(2)
        assert not left.exists()


def test_other_settings_are_refused_by_name(tmp_path):
    PartsFolder(tmp_path / 'bag', MADE_WITH).close()
    with pytest.raises(OutputError, match=r'score: 0\.25 there, 0\.5 now'):
        PartsFolder(tmp_path / 'bag', {**MADE_WITH, 'score': 0.5})


def test_two_runs_do_not_write_one_bag(tmp_path):
    with (
        PartsFolder(tmp_path / 'bag', MADE_WITH),
        pytest.raises(OutputError, match='another run'),
    ):
        PartsFolder(tmp_path / 'bag', MADE_WITH)
    PartsFolder(tmp_path / 'bag', MADE_WITH).close()


def test_a_part_that_is_finished_twice_stays_the_first(tmp_path):
    with PartsFolder(tmp_path / 'bag', MADE_WITH) as folder:
        write_part(folder, 0, 'first')
        write_part(folder, 0, 'second')
        assert (part_path(folder.path, 0) / 'file').read_text() == 'first'
        assert not list(folder.path.glob('*.writing'))
        folder.clear()
        assert not folder.path.exists()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OutputError, match='cannot be used for the parts'):
        PartsFolder(tmp_path / 'file' / 'bag', MADE_WITH)


def test_notes_that_are_no_notes_are_none(tmp_path):
    (tmp_path / 'replay.json').write_text('[1')
    assert read_run(tmp_path) is None
    (tmp_path / 'replay.json').write_text('[1]')
    assert read_run(tmp_path) is None
