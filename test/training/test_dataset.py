"""The rendered training images: repeatable, and labelled as the scene says."""

from __future__ import annotations

import numpy as np
import pytest

from training.dataset import ARRAYS, OBJECTS, SIZE, render_dataset, store
from trt_perception.scenes import SceneFrame, Split, StreetScene, scene_seed

WIDTH, HEIGHT = SIZE


def empty_arrays(count=1):
    return {name: np.full((count, *shape), 7, dtype) for name, (shape, dtype) in ARRAYS.items()}


def frame_with(boxes):
    """A frame that holds rectangles; of the classes 0, 1, ..., 7, 0, 1, ..."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        ids[y1:y2, x1:x2] = index + 1
    return SceneFrame(
        image=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        class_ids=np.arange(len(boxes)) % 8,
        track_ids=np.arange(len(boxes)),
        visibility=np.ones(len(boxes), np.float32),
        instance_ids=ids,
        semantic=np.zeros((HEIGHT, WIDTH), np.uint8),
    )


def read(folder):
    return {name: np.load(folder / f'{name}.npy') for name in ARRAYS}


def test_no_objects():
    arrays = empty_arrays()
    store(arrays, 0, frame_with([]))
    assert not arrays['instances'].any()
    assert not arrays['boxes'].any()
    assert np.all(arrays['classes'] == -1)


def test_the_smallest_of_too_many_objects_are_left_out():
    columns, side = 16, 8
    boxes = []
    for index in range(OBJECTS + 6):
        x, y = 40 * (index % columns), 40 * (index // columns)
        # The objects 0, 10, ..., 50 are the small ones.
        extent = side if index % 10 == 0 and index < 60 else 3 * side
        boxes.append((x, y, x + extent, y + extent))
    arrays = empty_arrays()
    store(arrays, 0, frame_with(boxes))
    kept = [index for index in range(len(boxes)) if index % 10 or index >= 60]
    np.testing.assert_array_equal(arrays['boxes'][0], np.array(boxes, np.float32)[kept])
    np.testing.assert_array_equal(arrays['classes'][0], np.array(kept) % 8)
    for place, index in enumerate(kept):
        x1, y1, x2, y2 = boxes[index]
        assert np.all(arrays['instances'][0, y1 // 4 : y2 // 4, x1 // 4 : x2 // 4] == place + 1)
    assert arrays['instances'].max() == OBJECTS
    assert arrays['instances'][0, 0, 0] == 0, 'object 0 was left out'


def test_the_arrays_have_their_shapes(data):
    for name, (shape, dtype) in ARRAYS.items():
        array = np.load(data / f'{name}.npy')
        assert array.shape == (6, *shape)
        assert array.dtype == dtype


def test_the_same_scenes_give_the_same_arrays(data, tmp_path):
    """Here in this process, two scenes only, the second first."""
    known = read(data)
    render_dataset(tmp_path, Split.TRAINING, 1, 2, 2)
    for name, array in read(tmp_path).items():
        np.testing.assert_array_equal(array, known[name][2:], err_msg=name)
    assert not np.array_equal(known['images'][0], known['images'][1]), 'two moments, one image'


@pytest.mark.parametrize('place', [0, 3, 5])
def test_labels_are_those_of_the_scene(data, place):
    known = {name: array[place] for name, array in read(data).items()}
    seed = scene_seed(Split.TRAINING, place // 2)
    moments = np.random.default_rng(seed).uniform(0, 60, 2)
    frame = StreetScene(seed, SIZE).render(float(moments[place % 2]))
    np.testing.assert_array_equal(known['images'], frame.image)
    np.testing.assert_array_equal(known['semantic'], frame.semantic)
    count = len(frame.boxes)
    assert 0 < count <= OBJECTS
    np.testing.assert_array_equal(known['boxes'][:count], frame.boxes)
    np.testing.assert_array_equal(known['classes'][:count], frame.class_ids)
    assert np.all(known['classes'][count:] == -1)
    np.testing.assert_array_equal(known['instances'], frame.instance_ids[2::4, 2::4])


def test_instances_lie_in_their_boxes(data):
    known = read(data)
    for ids, boxes in zip(known['instances'], known['boxes'], strict=True):
        for index in np.unique(ids[ids > 0]):
            rows, columns = np.nonzero(ids == index)
            x1, y1, x2, y2 = boxes[index - 1]
            assert x1 <= 4 * columns.min() + 2
            assert 4 * columns.max() + 2 < x2
            assert y1 <= 4 * rows.min() + 2
            assert 4 * rows.max() + 2 < y2
