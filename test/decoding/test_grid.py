import pytest

from decoding_cases import model
from trt_perception.decoding.grid import Grid, check_anchors, check_strides
from trt_perception.errors import ModelOutputError, ModelSpecError


def test_cells_stride_by_stride_row_by_row():
    grid = Grid.of((16, 24), (8, 16))
    assert grid.corners.tolist() == [
        *([0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]),
        *([0, 0], [0, 1]),
    ]
    assert grid.strides.ravel().tolist() == [8] * 6 + [16] * 2


def test_cells_that_the_rim_cuts():
    assert Grid.of((17, 24), (8, 32)).corners[:4].tolist() == [[0, 0], [1, 0], [2, 0], [0, 1]]
    assert len(Grid.of((17, 24), (8, 32)).strides) == 9 + 1


@pytest.mark.parametrize('anchors', [8400, 25200, 8500 * 3, 34000, 6000, -1])
def test_anchors_of_published_models(anchors):
    check_anchors(model('yolov5', size=(640, 640)), anchors, None)


@pytest.mark.parametrize('anchors', [0, 8399, 10647, 3549])
def test_anchors_of_another_size(anchors):
    with pytest.raises(ModelOutputError, match=f'{anchors} anchors.*8400 at strides'):
        check_anchors(model('yolov5', size=(640, 640)), anchors, None)


def test_strides():
    spec = model('yolox', size=(64, 96))
    check_strides(spec, None)
    check_strides(spec, (8, 64))
    for strides in ((), (0,), (65,)):
        with pytest.raises(ModelSpecError, match='each 1 to 64'):
            check_strides(spec, strides)
