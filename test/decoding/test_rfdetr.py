import numpy as np
import pytest

from decoding_cases import (
    CLASSES,
    KINDS,
    NETWORK,
    SQUARE,
    boxes_of,
    cases,
    check_masks,
    check_same,
    damage,
    decode,
    model,
    scores_of,
)
from plain_decoding import Proposal, corners, plain_objects
from plain_priors import sigmoids, softmaxes
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

FLOAT_MAX = float(np.finfo(np.float32).max)
QUERIES = 40


def raw(kind, rng, columns=CLASSES):
    """Boxes as shares [QUERIES, 4] and logits [QUERIES, columns]."""
    boxes = damage(kind, rng, boxes_of(kind, rng, QUERIES) / (NETWORK * 2))
    # Not just at the threshold, which rounding may decide.
    scores = np.clip(scores_of(kind, rng, QUERIES, columns) * 0.99, 1e-4, 1 - 1e-4)
    logits = np.log(scores / (1 - scores))
    if kind == 'empty':
        return boxes, np.where(rng.random() < 0.5, -10.0, logits - 8).astype(np.float32)
    return boxes, damage(kind, rng, logits)


def proposals(boxes, logits, probabilities=sigmoids, extras=lambda query: []):
    """Every pair of a query and a class."""
    width, height = NETWORK
    for query, (box, row) in enumerate(
        zip(boxes.astype(np.float64).tolist(), logits.astype(np.float64).tolist(), strict=True)
    ):
        x, y, w, h = box
        for class_id, score in enumerate(probabilities(row)[:CLASSES]):
            placed = corners((x * width, y * height, w * width, h * height))
            if max(map(abs, placed)) > FLOAT_MAX:
                continue
            yield Proposal(placed, score, class_id, extras(query))


@pytest.mark.parametrize('kind', KINDS)
def test_boxes_as_published(kind):
    found = 0
    for rng, letterbox, settings in cases(kind):
        boxes, logits = raw(kind, rng)
        result = decode(model('rfdetr'), letterbox, settings, dets=boxes, labels=logits)
        expected = plain_objects(proposals(boxes, logits), letterbox, settings, suppressed=False)
        check_same(result, expected)
        found += len(result)
    assert (found > 0) == (kind != 'empty')


@pytest.mark.parametrize('kind', sorted({*KINDS} - {'equal'}))
def test_softmax_with_no_object_last(kind):
    spec = model('rfdetr', activation='softmax')
    for rng, letterbox, settings in cases(kind):
        boxes, logits = raw(kind, rng, CLASSES + 1)
        result = decode(spec, letterbox, settings, pred_boxes=boxes, logits=logits)
        pairs = proposals(boxes, logits, softmaxes)
        check_same(result, plain_objects(pairs, letterbox, settings, suppressed=False))


@pytest.mark.parametrize('kind', KINDS)
def test_masks_as_published(kind):
    """A query's mask is the combination of all masks in which only its own counts."""
    for rng, letterbox, settings in cases(kind):
        boxes, logits = raw(kind, rng)
        masks = rng.normal(0, 1, (QUERIES, 8, 12)).astype(np.float32)
        spec = model('rfdetr', 'instance')
        result = decode(spec, letterbox, settings, dets=boxes, labels=logits, masks=masks)
        pairs = proposals(boxes, logits, extras=lambda query: np.eye(QUERIES)[query].tolist())
        expected = plain_objects(pairs, letterbox, settings, suppressed=False)
        check_same(result, expected)
        check_masks(result, expected, masks, letterbox)


def test_nothing_found():
    found = decode(
        model('rfdetr', 'instance'),
        SQUARE,
        DecodeSettings(),
        dets=np.zeros((0, 4), np.float32),
        labels=np.zeros((0, CLASSES), np.float32),
        masks=np.zeros((0, 8, 12), np.float32),
    )
    assert len(found) == 0
    assert found.masks == []


def test_float16_is_taken():
    boxes = np.array([[0.5, 0.5, 0.25, 0.5]], np.float16)
    logits = np.array([[-9, 0, -9]], np.float16)
    found = decode(model('rfdetr'), SQUARE, DecodeSettings(), dets=boxes, labels=logits)
    assert found.boxes.tolist() == [[36, 16, 60, 48]]
    assert found.scores.tolist() == [0.5]


def tensors(**shapes):
    return [TensorSpec(name, np.dtype('f4'), shape) for name, shape in shapes.items()]


@pytest.mark.parametrize(
    ('task', 'outputs', 'text'),
    [
        ('detect', tensors(dets=(1, 300, 4)), 'wants logits `labels`.*has none'),
        ('detect', tensors(dets=(1, 300, 3), labels=(1, 300, 4)), 'swapped'),
        ('detect', tensors(dets=(1, 4, 300), labels=(1, 300, 3)), 'transposed'),
        ('detect', tensors(dets=(1, 300, 4), labels=(1, 300, 91)), '3 classes'),
        ('detect', tensors(dets=(1, 300, 4), labels=(1, 100, 3)), 'number of queries'),
        ('detect', tensors(dets=(1, 300, 4), labels=(2, 300, 3)), 'batches of different'),
        ('detect', tensors(out=(1, 1000)), 'has none'),
        ('instance', tensors(dets=(1, 300, 4), labels=(1, 300, 3)), 'task: detect'),
        (
            'instance',
            tensors(dets=(1, 300, 4), labels=(1, 300, 3), masks=(1, 100, 8, 12)),
            'number of queries: dets 300',
        ),
    ],
)
def test_outputs_that_do_not_fit(task, outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('rfdetr', task), outputs)
