"""The street scene: same seed, same pixels; labels that agree with each other."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trt_perception.scenes import (
    SEMANTIC_CLASSES,
    THING_CLASSES,
    SceneFrame,
    Split,
    StreetScene,
    scene_seed,
)
from trt_perception.scenes.atmosphere import LIGHTS, WEATHERS
from trt_perception.scenes.street import CUT_FACTOR, LOWEST_VISIBILITY, SMALLEST_AREA

STUFF = len(SEMANTIC_CLASSES) - len(THING_CLASSES)
SIZES = [(320, 192), (640, 384), (641, 383), (960, 576), (400, 400), (1920, 1080)]

DIGEST = """
import hashlib
from trt_perception.scenes import Split, StreetScene, scene_seed
digest = hashlib.sha256()
for index in (2, 4):
    frame = StreetScene(scene_seed(Split.VALIDATION, index)).render(1.25)
    for part in vars(frame).values():
        digest.update(part.tobytes())
print(digest.hexdigest())
"""


def frame_of(index: int, size: tuple[int, int] = (640, 384), time_s: float = 2.0) -> SceneFrame:
    return StreetScene(scene_seed(Split.VALIDATION, index), size).render(time_s)


def check_labels(frame: SceneFrame, size: tuple[int, int]) -> None:
    """Every promise about one frame's labels."""
    width, height = size
    count = len(frame.boxes)
    assert frame.image.shape == (height, width, 3)
    assert frame.image.dtype == np.uint8
    assert frame.instance_ids.shape == frame.semantic.shape == (height, width)
    assert frame.instance_ids.dtype == np.uint16
    assert frame.semantic.dtype == np.uint8
    assert frame.boxes.dtype == frame.visibility.dtype == np.float32
    assert frame.class_ids.dtype == frame.track_ids.dtype == np.int64
    assert len(frame.class_ids) == len(frame.track_ids) == len(frame.visibility) == count
    assert len(set(frame.track_ids.tolist())) == count
    assert set(np.unique(frame.instance_ids).tolist()) - {0} == set(range(1, count + 1))
    assert frame.semantic.max() < len(SEMANTIC_CLASSES)
    smallest = SMALLEST_AREA * width * height / (640 * 384)
    for i in range(count):
        mine = frame.instance_ids == i + 1
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        bounds = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_array_equal(frame.boxes[i], bounds)
        assert (frame.semantic[mine] == STUFF + frame.class_ids[i]).all()
        assert mine.sum() >= smallest
        if bounds[0] == 0 or bounds[1] == 0 or bounds[2] == width or bounds[3] == height:
            assert mine.sum() >= CUT_FACTOR * smallest
        assert LOWEST_VISIBILITY <= frame.visibility[i] <= 1.0


def test_an_empty_street_has_no_objects_and_all_its_surfaces() -> None:
    frame = StreetScene(5, density=0.0).render(1.0)
    check_labels(frame, (640, 384))
    assert frame.boxes.shape == (0, 4)
    assert not frame.instance_ids.any()
    assert frame.semantic.max() < STUFF


@pytest.mark.parametrize('index', range(12))
def test_labels_agree(index: int) -> None:
    check_labels(frame_of(index), (640, 384))


@pytest.mark.parametrize('size', SIZES)
def test_every_size_gives_the_same_street(size: tuple[int, int]) -> None:
    frame = frame_of(3, size)
    check_labels(frame, size)
    assert len(frame.boxes) > 0


def test_a_size_too_small_for_a_street_is_refused() -> None:
    with pytest.raises(ValueError, match='32'):
        StreetScene(1, (16, 400))


@pytest.mark.parametrize('light', LIGHTS)
@pytest.mark.parametrize('weather', WEATHERS)
def test_every_light_and_weather_can_be_asked_for(light: str, weather: str) -> None:
    scene = StreetScene(11, (320, 192), light=light, weather=weather)
    assert scene.conditions == (light, weather)
    check_labels(scene.render(0.5), (320, 192))


def test_night_is_darker_than_day() -> None:
    means = [StreetScene(11, light=light).render(0.0).image.mean() for light in ('day', 'night')]
    assert means[1] < 0.6 * means[0]


def test_another_process_draws_the_same_pixels() -> None:
    digest = hashlib.sha256()
    for index in (2, 4):
        for part in vars(frame_of(index, time_s=1.25)).values():
            digest.update(part.tobytes())
    root = str(Path(sys.modules['trt_perception.scenes'].__file__ or '').parents[2])
    other = subprocess.run(
        [sys.executable, '-c', DIGEST],
        cwd=root,
        env={'PYTHONPATH': root, 'PYTHONHASHSEED': '17'},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == digest.hexdigest()


def test_the_order_of_the_times_does_not_matter() -> None:
    scene = StreetScene(scene_seed(Split.VALIDATION, 6))
    forward = [scene.render(t) for t in (0.0, 0.7, 3.1)]
    backward = [scene.render(t) for t in (3.1, 0.7, 0.0)][::-1]
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_other_seeds_give_other_streets() -> None:
    assert (frame_of(0).semantic != frame_of(1).semantic).mean() > 0.1


def centres(frame: SceneFrame) -> dict[int, tuple[int, np.ndarray]]:
    middles = (frame.boxes[:, :2] + frame.boxes[:, 2:]) / 2
    return {
        int(track): (int(kind), middle)
        for track, kind, middle in zip(frame.track_ids, frame.class_ids, middles, strict=True)
    }


@pytest.mark.parametrize('index', range(4))
def test_tracks_are_continuous_in_time(index: int) -> None:
    scene = StreetScene(scene_seed(Split.VALIDATION, index))
    before = centres(scene.render(0.0))
    kept = total = 0
    for step in range(1, 25):
        after = centres(scene.render(0.04 * step))
        for track, (kind, middle) in after.items():
            if track in before:
                assert before[track][0] == kind
                # Only what is near, or half hidden, moves far in a twenty-fifth of a second.
                assert np.abs(middle - before[track][1]).max() < 90
                kept += 1
        total += len(after)
        before = after
    assert kept > 0.9 * total


def test_the_demo_shows_every_class_within_its_thirty_seconds() -> None:
    scene = StreetScene(scene_seed(Split.DEMO, 0))
    shown: set[int] = set()
    for time_s in range(0, 30, 2):
        shown |= set(scene.render(float(time_s)).class_ids.tolist())
    assert len(shown) == len(THING_CLASSES)


def test_something_moves() -> None:
    scene = StreetScene(scene_seed(Split.VALIDATION, 1))
    moved = 0
    first, later = centres(scene.render(0.0)), centres(scene.render(1.0))
    for track in first.keys() & later.keys():
        moved += bool(np.abs(first[track][1] - later[track][1]).max() > 1.0)
    assert moved >= 1


def test_every_class_appears_within_a_hundred_scenes() -> None:
    things: set[int] = set()
    surfaces: set[int] = set()
    for index in range(100):
        frame = frame_of(index, (320, 192))
        things |= set(frame.class_ids.tolist())
        surfaces |= set(np.unique(frame.semantic).tolist())
        if len(things) == len(THING_CLASSES) and len(surfaces) == len(SEMANTIC_CLASSES):
            return
    pytest.fail(f'only {sorted(things)} and {sorted(surfaces)} appeared')


def test_few_objects_are_left_out_of_the_boxes() -> None:
    left_out = kept = 0
    for index in range(20):
        frame = frame_of(index, (320, 192))
        things = frame.semantic >= STUFF
        left_out += int((things & (frame.instance_ids == 0)).sum())
        kept += int((frame.instance_ids > 0).sum())
    assert left_out < 0.06 * kept
