"""How alike two networks are, on results that are known."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from building_cases import write_model
from family_networks import FAMILIES
from networks import write_constant_network, write_detector, yolov8_output
from trt_perception.building.agreement import Agreement, mask_iou, matched, pairwise_iou
from trt_perception.building.gate import Comparison, GateFigures, first_images
from trt_perception.errors import ParameterError
from trt_perception.frames import Frame
from trt_perception.model_spec import GateLimits, load_model_spec
from trt_perception.results import (
    Classification,
    Detections,
    Embedding,
    InstanceMask,
    SegmentationMap,
)
from trt_perception.runtime.onnxruntime_backend import OnnxRuntime

SIZE = (64, 48)
GREY = np.full((48, 64, 3), 114, np.uint8)


def objects(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """x1 y1 x2 y2, score, class of each."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.float32),
        table[:, 5].astype(np.int64),
        SIZE,
    )


def agreed(one, other, certain: float = 0.35) -> Agreement:
    agreement = Agreement(certain)
    agreement.add(one, other)
    return agreement


CAR = (10.0, 10.0, 30.0, 20.0)


def test_nothing_and_nothing_agree():
    agreement = agreed(objects(), objects())
    assert (agreement.share, agreement.overlap) == (1, 1)
    assert matched(objects(), objects((*CAR, 0.9, 0))) == []


def test_the_same_objects_agree():
    one = objects((*CAR, 0.9, 0), (40, 10, 50, 30, 0.5, 1))
    assert agreed(one, one).share == 1
    assert agreed(one, one).overlap == pytest.approx(1)


def test_missing_added_and_renamed_objects_count():
    both = objects((*CAR, 0.9, 0), (40, 10, 50, 30, 0.8, 1))
    one = objects((*CAR, 0.9, 0))
    assert agreed(both, one).share == agreed(one, both).share == pytest.approx(1 / 1.5)
    renamed = objects((*CAR, 0.9, 1))
    assert agreed(one, renamed).share == 0


def test_an_object_at_the_threshold_may_be_missing():
    assert agreed(objects((*CAR, 0.3, 0)), objects()).share == 1
    assert agreed(objects((*CAR, 0.36, 0)), objects()).share == 0


def test_the_best_overlap_is_paired_first():
    near, far = (10, 10, 30, 20), (12, 10, 32, 20)
    pairs = matched(objects((*near, 0.9, 0)), objects((*far, 0.9, 0), (*near, 0.5, 0)))
    assert [(i, j) for i, j, _ in pairs] == [(0, 1)]


def test_pixels():
    one = SegmentationMap(np.array([[0, 1, 255, 2]], np.uint8))
    other = SegmentationMap(np.array([[0, 2, 0, 2]], np.uint8))
    assert agreed(one, other).share == pytest.approx(2 / 3)


masks = st.builds(
    lambda x, y, w, h, seed: InstanceMask(x, y, np.random.default_rng(seed).random((h, w)) < 0.5),
    *(st.integers(0, 8) for _ in range(5)),
)


@given(masks, masks)
def test_mask_overlap_is_that_of_whole_pictures(one: InstanceMask, other: InstanceMask):
    pictures = np.zeros((2, 20, 20), bool)
    for picture, mask in zip(pictures, (one, other), strict=True):
        rows, columns = mask.bits.shape
        picture[mask.y : mask.y + rows, mask.x : mask.x + columns] = mask.bits
    union = (pictures[0] | pictures[1]).sum()
    shared = (pictures[0] & pictures[1]).sum()
    assert mask_iou(one, other) == pytest.approx(shared / union if union else 1)


corner = st.integers(0, 12)
boxes = st.tuples(corner, corner, corner, corner).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_box_overlap_is_that_of_cells(one, other):
    cells = [{(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])} for b in (one, other)]
    union = len(cells[0] | cells[1])
    expected = len(cells[0] & cells[1]) / union if union else 0
    (found,) = pairwise_iou(np.array([one], np.float32), np.array([other], np.float32))[0]
    assert found == pytest.approx(expected)


def test_an_engine_that_takes_only_whole_batches_is_given_them(tmp_path: Path):
    text = 'family: semantic\nclasses: [a, b, c, d, e, f]\ninput: {size: [64, 48]}\n'
    model = load_model_spec(write_model(tmp_path, FAMILIES['unet'](batch='batch', size=SIZE), text))
    onnx.save(FAMILIES['unet'](batch=4, size=SIZE), str(tmp_path / 'four.onnx'))
    comparison = Comparison(model, OnnxRuntime(model.onnx), least_batch=4)
    comparison.look([GREY])
    figures = comparison.figures(OnnxRuntime(tmp_path / 'four.onnx'))
    assert figures.agreement == 1
    assert figures.outputs == {'output0': pytest.approx(0, abs=1e-5)}


def compared(folder: Path, change) -> GateFigures:
    """A detector of a car against the same with changed output."""
    model = load_model_spec(write_detector(folder, [(32, 24, 16, 8)], [[0.9, 0.1]], ('car', 'dog')))
    output = yolov8_output([(32, 24, 16, 8)], [[0.9, 0.1]])
    other = write_constant_network(folder / 'other.onnx', {'output0': change(output)})
    comparison = Comparison(model, OnnxRuntime(model.onnx))
    with pytest.raises(ParameterError, match='no images'):
        comparison.figures(OnnxRuntime(other))
    comparison.look([GREY, GREY])
    return comparison.figures(OnnxRuntime(other))


def test_the_first_usable_frames_are_taken():
    good, broken = Frame.from_bgr(GREY), Frame.from_file_bytes(b'no image')
    assert first_images([], 2) == []
    assert len(first_images(iter([broken, good, good, good]), 3)) == 2


def test_the_same_network_passes(tmp_path: Path):
    figures = compared(tmp_path, lambda output: output)
    assert figures.as_json() == {
        'images': 2,
        'compared': 'objects',
        'counted': 2.0,
        'agreement': 1.0,
        'overlap': pytest.approx(1),
        'outputs': {'output0': 0.0},
    }
    assert figures.failures(GateLimits(relative_error=0.0)) == []
    assert '100.0% of objects agree' in figures.in_words()


def test_where_nothing_is_found_agreement_is_not_claimed(tmp_path: Path):
    text = ('car', 'dog')
    model = load_model_spec(write_detector(tmp_path, [(32, 24, 16, 8)], [[0.01, 0.01]], text))
    comparison = Comparison(model, OnnxRuntime(model.onnx))
    comparison.look([GREY])
    figures = comparison.figures(OnnxRuntime(model.onnx))
    assert (figures.counted, figures.agreement) == (0, 1)
    assert figures.in_words().startswith('no objects were found, so that none could be compared; ')
    assert figures.failures(GateLimits()) == []


def test_figures_of_headers_that_do_not_count_are_read():
    old = {'images': 8, 'compared': 'objects', 'agreement': 1.0, 'overlap': 1.0, 'outputs': {}}
    assert '100.0% of objects agree' in msgspec.convert(old, GateFigures).in_words()


def test_a_lost_object_fails(tmp_path: Path):
    figures = compared(tmp_path, lambda output: output * 0)
    assert figures.agreement == 0
    assert figures.outputs['output0'] == pytest.approx(1)
    words = figures.failures(GateLimits(relative_error=0.5))
    assert len(words) == 2
    assert 'the limit is 90.0%' in words[0]
    assert 'output0 differs by 1.0000' in words[1]


def test_shifted_boxes_fail_by_their_overlap(tmp_path: Path):
    figures = compared(tmp_path, lambda output: output + np.array([[2], *[[0]] * 5], np.float32))
    assert figures.agreement == 1
    assert figures.overlap == pytest.approx(14 / 18, abs=1e-3)
    assert any('overlap by 0.778' in words for words in figures.failures(GateLimits()))


def test_not_a_number_fails_and_can_be_written(tmp_path: Path):
    figures = compared(tmp_path, lambda output: output * np.float32('nan'))
    assert figures.outputs == {'output0': None}
    assert any('NaN' in words for words in figures.failures(GateLimits(agreement=0.0)))
    assert 'not finite' in figures.in_words()
    json.dumps(figures.as_json(), allow_nan=False)


def agreement_of(*pairs):
    found = Agreement(0.5)
    for reference, candidate in pairs:
        found.add(reference, candidate)
    return found


def classes(*ids):
    scores = np.linspace(0.9, 0.1, len(ids), dtype=np.float32)
    return Classification(np.array(ids, np.int64), scores, (9, 9))


def test_the_most_likely_class_counts():
    found = agreement_of((classes(3, 1), classes(3, 2)), (classes(3, 1), classes(1, 3)))
    assert (found.share, found.overlap) == (0.5, 1)
    assert agreement_of((classes(), classes())).share == 1


def test_embeddings_agree_by_their_cosine():
    vectors = [np.array(v, np.float32) for v in ((1, 0), (0.8, 0.6), (0, 0))]
    one, other, nothing = (Embedding(v, (9, 9)) for v in vectors)
    found = agreement_of((one, one), (one, other), (one, nothing))
    assert found.share == pytest.approx(1 / 3)
    assert found.overlap == pytest.approx((1 + 0.8) / 3)
    assert agreement_of((nothing, nothing)).share == 1


def test_a_classifier_is_gated_by_its_images(tmp_path: Path):
    scores = {'out': np.array([0, 1, 3], np.float32)}
    write_constant_network(tmp_path / 'net.onnx', scores, metadata={'names': str(list('abc'))})
    (tmp_path / 'net.yaml').write_text('onnx: net.onnx\nfamily: classify\n')
    other = write_constant_network(tmp_path / 'other.onnx', {'out': scores['out'][::-1].copy()})
    spec = load_model_spec(tmp_path / 'net.yaml')
    comparison = Comparison(spec, OnnxRuntime(spec.onnx))
    comparison.look([np.zeros((48, 64, 3), np.uint8)])
    same = comparison.figures(OnnxRuntime(spec.onnx))
    assert (same.compared, same.agreement) == ('images', 1)
    assert comparison.figures(OnnxRuntime(other)).agreement == 0
