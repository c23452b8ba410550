"""Embeddings of objects: which pixels they are of, and that trackers get them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from networks import write_detector
from trt_perception.errors import ModelSpecError
from trt_perception.pipeline.appearance import Appearance, pictures_of
from trt_perception.pipeline.perception import Perceived, open_pipeline
from trt_perception.pipeline.tracked import TrackedCameras
from trt_perception.preprocessing.face_alignment import REFERENCE, aligned_face
from trt_perception.results import Detections
from trt_perception.tracking.settings import TrackerSettings

RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)


def write_colour_embedding(folder):
    """A network whose embedding is the picture's mean red, green and blue."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node('ReduceMean', ['images'], ['embedding'], axes=[2, 3], keepdims=0)],
        'colour',
        [value('images', TensorProto.FLOAT, ['batch', 3, 16, 16])],
        [value('embedding', TensorProto.FLOAT, ['batch', 3])],
    )
    opset = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / 'colour.onnx')
    yaml = folder / 'colour.yaml'
    yaml.write_text('onnx: colour.onnx\nfamily: arcface\ninput: {mean: 0, scale: 0.00392157}\n')
    return yaml


@pytest.fixture
def appearance(tmp_path):
    appearance = Appearance(open_pipeline(write_colour_embedding(tmp_path), threads=1))
    yield appearance
    appearance.close()


def picture(*coloured):
    """Black but for the boxes (x1, y1, x2, y2) of their colours; and what a detector finds."""
    image = np.zeros((96, 128, 3), np.uint8)
    for (x1, y1, x2, y2), colour in coloured:
        image[y1:y2, x1:x2] = colour
    boxes = np.array([box for box, _ in coloured], np.float32).reshape(-1, 4)
    scores, classes = np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int64)
    return Perceived(Detections(boxes, scores, classes, (128, 96)), image, {'decode': 1.0})


def test_nothing_found(appearance):
    found = appearance.describe(picture())
    assert found.result.embeddings.shape == (0, 3)
    assert list(found.stages_ms) == ['decode', 'embed']


def test_each_object_is_described_by_its_own_pixels(appearance):
    seen = picture(*(((8 * i, 8, 8 * i + 6, 20), (RED, GREEN, BLUE)[i % 3]) for i in range(13)))
    embeddings = appearance.describe(seen).result.embeddings
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, np.eye(3)[np.arange(13) % 3], atol=1e-6)


@pytest.mark.parametrize(
    ('box', 'shape'),
    [
        ((0, 0, 128, 96), (96, 128)),
        ((127.5, 95.5, 128, 96), (1, 1)),
        ((10, 10, 10.01, 10.01), (1, 1)),
        ((128, 96, 128, 96), (1, 1)),
        ((3.5, 4.5, 9.5, 8.5), (5, 7)),
    ],
)
def test_a_box_has_its_pixels_and_at_least_one(box, shape):
    seen = picture(((0, 0, 1, 1), RED))
    found = replace(seen.result, boxes=np.array([box], np.float32))
    [cut] = pictures_of(found, seen.image)
    assert cut.shape == (*shape, 3)


def test_faces_are_turned_upright():
    seen = picture(((0, 0, 90, 90), RED))
    turned = REFERENCE[:, ::-1] * (-0.5, 0.5) + (80, 10)
    points = np.concatenate([turned, np.ones((5, 1))], axis=1).astype(np.float32)
    found = replace(seen.result, key_points=points[None])
    [face] = pictures_of(found, seen.image)
    assert np.array_equal(face, aligned_face(seen.image, points))
    nowhere = replace(found, key_points=np.zeros_like(points)[None])
    [cut] = pictures_of(nowhere, seen.image)
    assert cut.shape == (90, 90, 3)


def test_a_model_for_another_task_is_refused(tmp_path):
    pipeline = open_pipeline(write_detector(tmp_path, [(9, 9, 4, 4)], [0.9], ('car',)), threads=1)
    with pytest.raises(ModelSpecError, match=r'task detect.*task embed'):
        Appearance(pipeline)
    pipeline.close()


@pytest.mark.parametrize('kind', ['none', 'bytetrack', 'deepsort'])
def test_trackers_get_the_embeddings(appearance, kind):
    """Two that change places while hidden keep their ids only by their looks."""
    tracked = TrackedCameras(TrackerSettings(kind, confirmations=1), appearance)
    left, right = (20, 20, 40, 60), (50, 20, 70, 60)
    for frame in range(5):
        first = tracked.follow(picture((left, RED), (right, GREEN)), (frame + 1) * 10**8)
    assert first.result.embeddings is not None
    for frame in range(5, 10):
        tracked.follow(picture(), (frame + 1) * 10**8)
    last = tracked.follow(picture((left, GREEN), (right, RED)), 11 * 10**8)
    if kind == 'none':
        assert last.result.track_ids is None
        return
    before, after = first.result.track_ids.tolist(), last.result.track_ids.tolist()
    assert after == (before[::-1] if kind == 'deepsort' else before)
    assert tracked.note == ''
