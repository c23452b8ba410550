import numpy as np
import onnxruntime
import pytest

from decoding_cases import (
    CLASSES,
    KINDS,
    SQUARE,
    boxes_of,
    check_as_published,
    damage,
    decode,
    model,
    scores_of,
)
from networks import write_scaling_detr
from plain_decoding import Proposal, corners
from trt_perception.decoding.registry import decoder_for, side_inputs_for
from trt_perception.errors import ModelOutputError
from trt_perception.frames import Frame
from trt_perception.pipeline.perception import open_pipeline
from trt_perception.results import DecodeSettings
from trt_perception.tensor_spec import TensorSpec

QUERIES = 60
FLOAT, LONG = np.dtype('f4'), np.dtype('i8')


def rows(kind, rng):
    boxes = [corners(box) for box in boxes_of(kind, rng, QUERIES)]
    boxes = damage(kind, rng, np.array(boxes))
    scores = damage(kind, rng, scores_of(kind, rng, QUERIES))
    labels = rng.integers(0, CLASSES, QUERIES)
    proposals = [
        Proposal(tuple(box), score, label)
        for box, score, label in zip(
            boxes.astype(np.float64).tolist(), scores.tolist(), labels.tolist(), strict=True
        )
        if np.isfinite(box).all()
    ]
    return {'labels': labels, 'boxes': boxes, 'scores': scores}, proposals


@pytest.mark.parametrize('kind', KINDS)
def test_rows_as_published(kind):
    check_as_published(kind, model('detr'), rows, suppressed=False)


def test_nothing_found():
    outputs = {
        'labels': np.zeros(0, np.int64),
        'boxes': np.zeros((0, 4), np.float32),
        'scores': np.zeros(0, np.float32),
    }
    assert len(decode(model('detr'), SQUARE, DecodeSettings(), **outputs)) == 0


def tensors(labels=LONG, **shapes):
    found = {'labels': (-1, 300), 'boxes': (-1, 300, 4), 'scores': (-1, 300), **shapes}
    return [TensorSpec(n, labels if n == 'labels' else FLOAT, s) for n, s in found.items() if s]


@pytest.mark.parametrize('labels', ['i4', 'i8', 'f4'])
def test_outputs_of_the_family(labels):
    assert decoder_for(model('detr'), tensors(np.dtype(labels))).decode


def test_names_do_not_matter_where_types_tell():
    renamed = [TensorSpec(f'out{i}', t.dtype, t.shape) for i, t in enumerate(tensors())]
    assert decoder_for(model('detr'), renamed).decode


@pytest.mark.parametrize(
    ('outputs', 'text'),
    [
        (tensors(scores=None), 'wants `scores`.*file has none'),
        (tensors(boxes=(-1, 4, 300)), 'transposed'),
        (tensors(scores=(-1, 100)), '100, 300'),
        (tensors(boxes=(-1, 300), scores=(-1, 300, 4)), 'should be `boxes`'),
        ([TensorSpec('logits', FLOAT, (1, 1000))], 'wants `boxes`'),
    ],
)
def test_outputs_that_do_not_fit(outputs, text):
    with pytest.raises(ModelOutputError, match=text):
        decoder_for(model('detr'), outputs)


IMAGES = TensorSpec('images', FLOAT, (1, 3, 64, 96))
SIZES = TensorSpec('orig_target_sizes', LONG, (-1, 2))


@pytest.mark.parametrize(('options', 'row'), [({}, [96, 64]), ({'size_order': 'hw'}, [64, 96])])
def test_the_second_input_holds_the_networks_size(options, row):
    (name, filled), *more = side_inputs_for(model('detr', **options), [IMAGES, SIZES]).items()
    assert (name, filled.tolist(), filled.dtype, more) == ('orig_target_sizes', [row], LONG, [])


def test_other_families_take_an_image_only():
    assert side_inputs_for(model('rtdetr'), [IMAGES]) == {}


@pytest.mark.parametrize(
    ('inputs', 'text'),
    [
        ([IMAGES], 'wants a second input'),
        ([IMAGES, TensorSpec('scale', FLOAT, (-1, 3))], 'scale is float32'),
    ],
)
def test_inputs_that_do_not_fit(inputs, text):
    with pytest.raises(ModelOutputError, match=text):
        side_inputs_for(model('detr'), inputs)


@pytest.mark.parametrize('batch', [1, 2])
def test_a_network_with_two_inputs_runs_in_the_pipeline(tmp_path, batch):
    """The network scales one box of shares by what it is told the size is."""
    network = write_scaling_detr(tmp_path / 'detr.onnx', [0.25, 0.25, 0.75, 0.5], size=(96, 64))
    assert len(onnxruntime.InferenceSession(str(network)).get_inputs()) == 2
    yaml = tmp_path / 'detr.yaml'
    yaml.write_text('onnx: detr.onnx\nfamily: detr\nclasses: [car]\n')
    pipeline = open_pipeline(yaml, backend='onnxruntime-cpu')
    try:
        frame = Frame.from_bgr(np.zeros((480, 640, 3), np.uint8))
        for perceived in pipeline.process([frame] * batch):
            assert perceived.result.boxes.tolist() == [[160, 120, 480, 240]]
    finally:
        pipeline.close()
