import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.errors import OutputError
from trt_perception.replaying.plan import (
    IMAGES_IN_PART,
    Camera,
    cameras_of,
    outputs_of,
    parts_of,
)


def test_a_bag_in_which_no_time_passes_is_one_part():
    (part,) = parts_of(5, 5, 1000)
    assert (part.start_ns, part.end_ns) == (5, 6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**62), st.integers(1, 10**13), st.integers(1, 10**6))
def test_parts_follow_each_other_without_gap_or_overlap(start, span, images):
    parts = parts_of(start, start + span, images)
    assert [part.index for part in parts] == list(range(len(parts)))
    assert (parts[0].start_ns, parts[-1].end_ns) == (start, start + span)
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(parts))
    assert all(part.start_ns < part.end_ns for part in parts)
    assert len(parts) <= -(-images // IMAGES_IN_PART)


@pytest.mark.parametrize(
    ('topics', 'names'),
    [
        (['/camera/image_raw'], ['']),
        (['/front/image_raw', '/rear/image_raw/compressed'], ['front', 'rear']),
        (['/rig/left/image', '/rig/right/color/image_raw'], ['rig_left', 'rig_right']),
        (['/a/image_raw', '/a/image_rect'], ['a_image_raw', 'a_image_rect']),
        (['/image', '/rear/image'], ['image', 'rear_image']),
        (['/1/image', '/2/image'], ['camera_1', 'camera_2']),
    ],
)
def test_cameras_are_named_after_their_topics(topics, names):
    assert cameras_of(topics) == tuple(map(Camera, topics, names))


def test_one_bag_is_written_where_it_is_said(tmp_path):
    assert outputs_of([Path('drive')], tmp_path / 'new') == [tmp_path / 'new']
    assert outputs_of([Path('drive.mcap')], tmp_path) == [tmp_path / 'drive']
    (tmp_path / 'metadata.yaml').touch()
    assert outputs_of([Path('drive')], tmp_path) == [tmp_path]


def test_several_bags_are_written_into_a_folder_under_different_names(tmp_path):
    bags = [Path('a/drive'), Path('b/drive'), Path('c.mcap'), Path('d.2026')]
    names = [out.name for out in outputs_of(bags, tmp_path)]
    assert names == ['drive', 'drive_2', 'c', 'd.2026']


def test_what_cannot_hold_the_bags_is_refused(tmp_path):
    (tmp_path / 'metadata.yaml').touch()
    with pytest.raises(OutputError, match='is a bag, but 2 bags'):
        outputs_of([Path('a'), Path('b')], tmp_path)
    with pytest.raises(OutputError, match='is a file'):
        outputs_of([Path('a')], tmp_path / 'metadata.yaml')


def test_a_name_of_a_file_is_refused_since_a_bag_is_a_folder(tmp_path):
    with pytest.raises(OutputError, match=r'written as a folder\. Name it new$'):
        outputs_of([Path('a')], tmp_path / 'new.mcap')
    (tmp_path / 'old.mcap').mkdir()
    assert outputs_of([Path('a')], tmp_path / 'old.mcap') == [tmp_path / 'old.mcap' / 'a']


@pytest.mark.parametrize('bags', [['drive'], ['drive', 'other']])
def test_nothing_is_written_into_a_bag(tmp_path, bags):
    (tmp_path / 'drive').mkdir()
    (tmp_path / 'drive' / 'metadata.yaml').touch()
    with pytest.raises(OutputError, match=r'drive is a bag\. Name a folder beside it'):
        outputs_of([tmp_path / name for name in bags], tmp_path / 'drive' / 'deep' / 'found')
