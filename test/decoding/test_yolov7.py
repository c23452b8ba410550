import numpy as np
import pytest

from decoding_cases import (
    ANCHORS,
    CLASSES,
    KINDS,
    SQUARE,
    boxes_of,
    cases,
    check_same,
    damage,
    decode,
    model,
    scores_of,
)
from plain_decoding import Proposal, best_class, plain_objects
from trt_perception.decoding.efficient_nms import EfficientNmsDecoder
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import ModelOutputError
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec


@pytest.mark.parametrize('classes', [CLASSES, 1])
@pytest.mark.parametrize('kind', KINDS)
def test_dense_outputs_as_published(kind, classes):
    """As of YOLOv5, but that the score of a single class is the objectness alone."""
    for rng, letterbox, settings in cases(kind):
        columns = [boxes_of(kind, rng, 3 * ANCHORS), scores_of(kind, rng, 3 * ANCHORS, 1 + classes)]
        output = damage(
            kind, rng, np.concatenate(columns, axis=1) ** (1, 1, 1, 1, *[0.5] * (1 + classes))
        )
        proposals = []
        for row in output.astype(np.float64).tolist():
            if 0.25 <= row[4] < np.inf:
                scores = [row[4] * s for s in row[5:]] if classes > 1 else [row[4]]
                best = best_class(scores)
                if best is not None:
                    proposals.append(Proposal(tuple(row[:4]), *best))
        result = decode(model('yolov7', classes=classes), letterbox, settings, output=output)
        check_same(result, plain_objects(proposals, letterbox, settings))


def test_an_end_to_end_file_by_its_names():
    outputs = [
        TensorSpec('num_dets', np.dtype('i4'), (1, 1)),
        TensorSpec('det_boxes', np.dtype('f4'), (1, 100, 4)),
        TensorSpec('det_scores', np.dtype('f4'), (1, 100)),
        TensorSpec('det_classes', np.dtype('i4'), (1, 100)),
    ]
    assert isinstance(decoder_for(model('yolov7'), outputs), EfficientNmsDecoder)


def test_nothing_found():
    output = np.zeros((3 * ANCHORS, 8), np.float32)
    assert len(decode(model('yolov7'), SQUARE, DecodeSettings(), output=output)) == 0


def test_maps_that_lack_the_grid():
    shapes = [(1, 3, 80, 80, 85), (1, 3, 40, 40, 85), (1, 3, 20, 20, 85)]
    outputs = [TensorSpec(f'o{i}', np.dtype('f4'), s) for i, s in enumerate(shapes)]
    with pytest.raises(ModelOutputError, match='--grid'):
        decoder_for(model('yolov7', classes=80), outputs)


def test_the_end_to_end_export_for_onnxruntime():
    outputs = [TensorSpec('output', np.dtype('f4'), (-1, 7))]
    with pytest.raises(ModelOutputError, match='--max-wh'):
        decoder_for(model('yolov7'), outputs)
