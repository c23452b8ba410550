import numpy as np

from trt_perception.palette import color_mask
from trt_perception.results import ColoredMap, Detections, InstanceMask, SegmentationMap


def detections(masks):
    count = len(masks)
    return Detections(
        np.zeros((count, 4), np.float32),
        np.linspace(1, 0.5, count, dtype=np.float32),
        np.zeros(count, np.int64),
        (8, 6),
        masks,
    )


def test_empty_has_no_objects_and_an_empty_id_image():
    nothing = Detections.empty((8, 6), with_masks=True)
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.id_image().shape == (6, 8)
    assert not nothing.id_image().any()


def test_id_image_numbers_from_one_and_the_higher_score_lies_on_top():
    whole = InstanceMask(1, 1, np.ones((4, 5), np.bool_))
    part = InstanceMask(4, 3, np.ones((3, 4), np.bool_))
    image = detections([whole, part]).id_image()
    assert image.dtype == np.uint16
    assert np.count_nonzero(image == 1) == 20
    assert np.count_nonzero(image == 2) == 12 - 4
    assert image[3, 4] == 1
    assert image[5, 7] == 2
    assert image[0, 0] == 0


def test_id_image_accepts_a_mask_without_pixels():
    image = detections([InstanceMask(3, 3, np.zeros((0, 0), np.bool_))]).id_image()
    assert not image.any()


def test_more_than_255_objects_keep_their_numbers():
    masks = [InstanceMask(i % 8, (i // 8) % 6, np.ones((1, 1), np.bool_)) for i in range(300)]
    image = detections(masks).id_image()
    assert image.max() == 48
    late = detections([InstanceMask(0, 0, np.zeros((1, 1), np.bool_))] * 299 + masks[:1])
    assert late.id_image()[0, 0] == 300


def test_segmentation_map_knows_its_size():
    assert SegmentationMap(np.zeros((6, 8), np.uint8)).size == (8, 6)


def test_a_class_map_is_coloured_for_who_asks():
    ids = np.array([[0, 1, 255]], np.uint8)
    colors = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    found = SegmentationMap(ids)
    assert found.ready_image(colors) is None
    assert found.color_image(colors).tolist() == [[[1, 2, 3], [4, 5, 6], [0, 0, 0]]]


def test_colours_that_are_there_are_taken_for_the_same_map_in_the_same_colours_only():
    ids = np.array([[0, 1]], np.uint8)
    colors = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    pixels = color_mask(ids, colors)
    found = SegmentationMap(ids, ColoredMap(pixels, ids, colors))
    assert found.color_image(colors.copy()) is pixels
    others = colors[::-1]
    np.testing.assert_array_equal(found.color_image(others), color_mask(ids, others))
    changed = SegmentationMap(ids[:, ::-1], found.colored)
    np.testing.assert_array_equal(changed.color_image(colors), pixels[:, ::-1])
