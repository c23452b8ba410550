"""The figures of the model cards: known answers must give the known figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from networks import write_car_and_dog, write_constant_network, write_detector
from training.evaluate import (
    average_precision,
    coco_figures,
    confusion_of,
    found_objects,
    overlap_figures,
    scene_frames,
    semantic_figures,
    true_objects,
)
from trt_perception.pipeline.perception import open_pipeline
from trt_perception.results import UNLABELLED, Detections, InstanceMask
from trt_perception.scenes import THING_CLASSES, SceneFrame, Split

NAMES = THING_CLASSES
SIZE = (320, 192)


@pytest.fixture(scope='module')
def frames():
    return [frame for frame in scene_frames(Split.VALIDATION, 5, SIZE) if len(frame.boxes)]


def found_in(frame, shift=0.0, score=0.9):
    """What a detector would say that sees `frame` as it is, `shift` pixels to the right."""
    masks = []
    for index, box in enumerate(frame.boxes.astype(int)):
        x1, y1, x2, y2 = box.tolist()
        bits = frame.instance_ids[y1:y2, x1:x2] == index + 1
        masks.append(InstanceMask(min(x1 + int(shift), SIZE[0] - (x2 - x1)), y1, bits))
    count = len(frame.boxes)
    return Detections(
        boxes=frame.boxes + np.array([shift, 0, shift, 0], np.float32),
        scores=np.full(count, score, np.float32),
        class_ids=frame.class_ids,
        size=SIZE,
        masks=masks,
    )


def figures(frames, results, kind='bbox'):
    truth = {
        'images': [
            {'id': number, 'width': SIZE[0], 'height': SIZE[1]} for number in range(len(frames))
        ],
        'annotations': [],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(NAMES)],
    }
    found = []
    masks = kind == 'segm'
    for number, (frame, result) in enumerate(zip(frames, results, strict=True)):
        first = len(truth['annotations']) + 1
        truth['annotations'] += true_objects(frame, number, first, masks)
        found += found_objects(result, number, masks)
    return coco_figures(truth, found, kind, NAMES)


def test_no_images():
    none = figures([], [])
    assert none['map50'] is None
    assert none['map50_95'] is None
    assert set(none['by_class'].values()) == {None}


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_nothing_found_has_no_precision(frames, kind):
    empty = [Detections.empty(SIZE, with_masks=True) for _ in frames]
    nothing = figures(frames, empty, kind)
    assert nothing['map50'] == nothing['map50_95'] == 0
    assert 0 in nothing['by_class'].values()


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_perfect_answers(frames, kind):
    perfect = figures(frames, [found_in(frame) for frame in frames], kind)
    assert perfect['map50'] == pytest.approx(1)
    assert perfect['map50_95'] == pytest.approx(1)
    there = {NAMES[index] for frame in frames for index in frame.class_ids}
    for name, value in perfect['by_class'].items():
        assert value == (pytest.approx(1) if name in there else None)


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_shifted_answers_are_worse_the_further(frames, kind):
    near = figures(frames, [found_in(frame, shift=1) for frame in frames], kind)
    far = figures(frames, [found_in(frame, shift=3) for frame in frames], kind)
    assert 0 < far['map50_95'] < near['map50_95'] < 1
    assert far['map50'] < 1


def test_confident_mistakes_cost_precision(frames):
    results = []
    for frame in frames:
        right, wrong = found_in(frame, score=0.5), found_in(frame, shift=100, score=0.9)
        results.append(
            Detections(
                np.vstack([right.boxes, wrong.boxes]),
                np.concatenate([right.scores, wrong.scores]),
                np.concatenate([right.class_ids, wrong.class_ids]),
                SIZE,
            )
        )
    # Of each pair the wrong one comes first: half of what is claimed is true.
    assert figures(frames, results)['map50'] == pytest.approx(0.5, abs=0.1)


def test_the_wrong_class_is_no_hit(frames):
    results = []
    for frame in frames:
        right = found_in(frame)
        results.append(Detections(right.boxes, right.scores, (right.class_ids + 1) % 8, SIZE))
    assert figures(frames, results)['map50'] < 0.2


def rectangles(boxes, classes, size=(64, 48)):
    ids = np.zeros((size[1], size[0]), np.uint16)
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        ids[y1:y2, x1:x2] = index + 1
    return SceneFrame(
        image=np.full((size[1], size[0], 3), 90, np.uint8),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        class_ids=np.array(classes, np.int64),
        track_ids=np.arange(len(boxes)),
        visibility=np.ones(len(boxes), np.float32),
        instance_ids=ids,
        semantic=np.minimum(ids, 2).astype(np.uint8),
    )


def test_a_network_that_is_right_and_one_that_is_half_right(tmp_path):
    pipeline = open_pipeline(write_car_and_dog(tmp_path))
    right = rectangles([(24, 20, 40, 28), (6, 6, 10, 10)], [0, 1])
    moved = rectangles([(24, 20, 40, 28), (50, 40, 54, 44)], [0, 1])
    figures = average_precision(pipeline, [right], masks=False)
    assert figures['bbox']['by_class'] == {'car': pytest.approx(1), 'dog': pytest.approx(1)}
    figures = average_precision(pipeline, [moved], masks=False)
    assert figures['bbox']['by_class'] == {'car': pytest.approx(1), 'dog': 0}
    assert figures['bbox']['map50'] == pytest.approx(0.5)
    pipeline.close()


def test_no_pixels():
    nothing = overlap_figures(np.zeros((2, 3), np.int64), ('road', 'sky'))
    assert nothing == {
        'miou': None,
        'pixel_accuracy': None,
        'by_class': {'road': None, 'sky': None},
    }


def test_confusion_of_few_pixels():
    truth = np.array([[0, 0, 1, 1, 255]], np.uint8)
    found = np.array([[0, 1, 1, UNLABELLED, 0]], np.uint8)
    confusion = confusion_of(truth, found, 2)
    np.testing.assert_array_equal(confusion, [[1, 1, 0], [0, 1, 1]])
    figures = overlap_figures(confusion, ('road', 'sky'))
    assert figures['by_class'] == {'road': pytest.approx(1 / 2), 'sky': pytest.approx(1 / 3)}
    assert figures['miou'] == pytest.approx(5 / 12)
    assert figures['pixel_accuracy'] == pytest.approx(1 / 2)


def test_a_class_that_is_nowhere_does_not_count():
    figures = overlap_figures(np.array([[4, 0, 0], [0, 0, 0]]), ('road', 'sky'))
    assert figures['miou'] == 1
    assert figures['by_class'] == {'road': 1, 'sky': None}


def test_perfect_labels_of_scenes(frames):
    confusion = sum(confusion_of(frame.semantic, frame.semantic, 13) for frame in frames)
    figures = overlap_figures(confusion, tuple(map(str, range(13))))
    assert figures['miou'] == 1
    assert figures['pixel_accuracy'] == 1


def test_a_semantic_network_through_the_pipeline(tmp_path):
    """It calls the left half road and the rest sky; so is the first scene, not the second."""
    logits = np.zeros((3, 48, 64), np.float32)
    logits[0, :, :32] = 1
    logits[1, :, 32:] = 1
    metadata = {'names': "['road', 'sky', 'car']", 'family': 'semantic'}
    write_constant_network(tmp_path / 'halves.onnx', {'logits': logits}, metadata=metadata)
    (tmp_path / 'halves.yaml').write_text('onnx: halves.onnx\n')
    pipeline = open_pipeline(tmp_path / 'halves.yaml')
    right = rectangles([(32, 0, 64, 48)], [1])
    assert semantic_figures(pipeline, [right])['miou'] == 1
    wrong = rectangles([(48, 0, 64, 48)], [1])
    figures = semantic_figures(pipeline, [wrong])
    assert figures['by_class']['road'] == pytest.approx(32 / 48)
    assert figures['by_class']['sky'] == pytest.approx(16 / 32)
    assert figures['by_class']['car'] is None
    pipeline.close()


def test_the_command_writes_figures_and_keeps_older_ones(tmp_path, from_root):
    model = write_detector(tmp_path, [(32, 24, 16, 8)], [[0.9] + 7 * [0.0]], NAMES, size=(64, 48))
    out = tmp_path / 'figures.json'
    done = from_root('training.evaluate', model, '--latency', '--out', out)
    assert done.returncode == 0, done.stderr
    done = from_root(
        'training.evaluate', model, '--scenes', 2, '--split', 'VALIDATION', '--out', out
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written == json.loads(done.stdout)
    assert written['network_ms'].keys() == {'p50', 'p99'}
    assert written['scenes'] == 2
    assert written['split'] == 'VALIDATION'
    assert written['file_bytes'] == (tmp_path / 'detector.onnx').stat().st_size
    assert written['bbox']['by_class'].keys() == set(NAMES)
