"""A run over a data set with networks whose answers are known, and what is reported of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from networks import write_constant_network, write_detector
from trt_perception.errors import EvaluationError, SourceError
from trt_perception.evaluation.class_mapping import match_classes
from trt_perception.evaluation.dataset import Dataset, Sample, TrueObjects
from trt_perception.evaluation.machine_load import BUSY_CPUS
from trt_perception.evaluation.measuring import evaluate
from trt_perception.evaluation.networks import open_network
from trt_perception.evaluation.plots import plots_of
from trt_perception.evaluation.report import document_of, markdown_of, summary_rows
from trt_perception.frames import Frame
from trt_perception.model_spec import load_model_spec

GREY = Frame.from_bgr(np.full((48, 64, 3), 90, np.uint8))


class Known(Dataset):
    """Grey images with the given truths; a text is an image that cannot be read."""

    def __init__(self, task, names, truths, categories=None):
        super().__init__('known', task, names, categories)
        self.truths = truths

    def __len__(self):
        return len(self.truths)

    def label(self, index):
        return f'image {index}'

    def read(self, index):
        truth = self.truths[index]
        if isinstance(truth, str):
            raise SourceError(truth)
        return Sample(self.label(index), GREY, truth)


def objects(*boxes_and_classes):
    boxes = np.array([box for box, _ in boxes_and_classes], np.float64).reshape(-1, 4)
    kinds = np.array([kind for _, kind in boxes_and_classes], np.int64)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return TrueObjects(boxes, kinds, np.zeros(len(boxes), np.bool_), areas)


CAR, DOG, ELSEWHERE = (24, 20, 40, 28), (6, 6, 10, 10), (50, 40, 54, 44)


@pytest.fixture
def detector(tmp_path):
    """Finds a car and a dog in everything."""
    found = [(32, 24, 16, 8), (8, 8, 4, 4)]
    yaml = write_detector(tmp_path, found, [[0.9, 0.1], [0.0, 0.5]], ('car', 'dog'))
    return open_network(load_model_spec(yaml), yaml, 'fp32', threads=1)


@pytest.fixture
def halves(tmp_path):
    """Calls the left half of everything road and the rest sky."""
    logits = np.zeros((3, 48, 64), np.float32)
    logits[0, :, :32] = 1
    logits[1, :, 32:] = 1
    metadata = {'names': "['road', 'sky', 'car']", 'family': 'semantic'}
    write_constant_network(tmp_path / 'halves.onnx', {'logits': logits}, metadata=metadata)
    yaml = tmp_path / 'halves.yaml'
    yaml.write_text('onnx: halves.onnx\n')
    return open_network(load_model_spec(yaml), yaml, 'fp32', threads=1)


def run(network, data, **options):
    names = network.pipeline.spec.class_names
    return evaluate([network], data, match_classes(data.class_names, names), **options)


def test_images_without_objects(detector):
    done = run(detector, Known('detect', ('car', 'dog'), [objects()]))
    (measured,) = done.measured
    assert measured.accuracy['boxes']['map50'] is None
    assert measured.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0]]


def test_right_and_half_right_objects(detector):
    # The data set numbers its classes in another order than the model.
    right = Known('detect', ('dog', 'car'), [objects((CAR, 1), (DOG, 0))] * 3)
    (measured,) = run(detector, right).measured
    assert measured.accuracy['boxes']['by_class'] == {
        'dog': pytest.approx(1),
        'car': pytest.approx(1),
    }
    assert len(measured.frame_ms) == 3
    wrong = Known('detect', ('dog', 'car'), [objects((CAR, 1), (ELSEWHERE, 0))])
    (measured,) = run(detector, wrong).measured
    assert measured.accuracy['boxes']['map50'] == pytest.approx(0.5)
    assert measured.confusion.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_pixels(halves):
    truth = np.ones((48, 64), np.uint8)
    truth[:, :32] = 0
    truth[:, :16] = 255
    right = Known('semantic', ('road', 'sky', 'car'), [truth])
    (measured,) = run(halves, right).measured
    assert measured.accuracy['semantic']['by_class'] == {'road': 1, 'sky': 1, 'car': None}
    other = truth.copy()
    other[:, 48:] = 2
    categories = {'road': 'flat', 'sky': 'sky', 'car': 'vehicle'}
    mixed = Known('semantic', ('road', 'sky', 'car'), [truth, other], categories)
    (measured,) = run(halves, mixed).measured
    # sky: 48 columns are sky, 64 are called sky; car: 16 columns that nothing found.
    figures = measured.accuracy['semantic']
    assert figures['by_class'] == {'road': 1, 'sky': pytest.approx(3 / 4), 'car': 0}
    assert figures['category_miou'] == pytest.approx(7 / 12)


def test_images_that_cannot_be_used_are_listed_until_they_are_the_most(detector):
    some = Known('detect', ('car', 'dog'), [objects((CAR, 0)), 'cut off', 'missing', objects()])
    ticks = []
    done = run(detector, some, on_image=lambda: ticks.append(1))
    assert done.images == 2
    assert done.skipped == (('image 1', 'cut off'), ('image 2', 'missing'))
    assert len(ticks) == 4
    most = Known('detect', ('car', 'dog'), ['cut off', 'missing', objects()])
    with pytest.raises(EvaluationError, match=r'2 of 3 images cannot be used.*cut off; missing'):
        run(detector, most)


def test_a_limit(detector):
    data = Known('detect', ('car', 'dog'), [objects((CAR, 0))] * 4 + ['never read'])
    assert run(detector, data, limit=4).skipped == ()


@pytest.fixture
def document(detector):
    """Two networks that are the same, of which one is said to be int8."""
    data = Known(
        'detect', ('car', 'dog'), [objects((CAR, 0), (ELSEWHERE, 1)), 'cut | off', objects()]
    )
    classes = match_classes(data.class_names, ('car', 'dog'))
    done = evaluate([detector, detector], data, classes)
    document = document_of(detector.pipeline.spec, data, classes, done, threads=1)
    document['networks'][1]['precision'] = 'int8'
    document['networks'][1]['loss'] = {'boxes.map50_95': 1.25, 'boxes.map50': -0.001}
    return document


def test_the_document_is_json(document):
    assert json.loads(json.dumps(document)) == document
    assert document['images'] == 2
    assert document['skipped'] == [{'image': 'image 1', 'reason': 'cut | off'}]
    (plain, _) = document['networks']
    assert plain['accuracy']['boxes']['map50'] == pytest.approx(0.5)
    assert plain['loss'] == {'boxes.map50_95': 0, 'boxes.map50': 0}
    assert plain['frame_ms']['p50'] <= plain['frame_ms']['p99']


def test_a_busy_machine_is_told_in_the_table(document):
    machine = document['machine']
    assert set(machine['load_average']) == {'begin', 'end'}
    assert machine['busy'] == (machine['others_cpus'] > BUSY_CPUS)
    machine.update(busy=False)
    assert 'p50 ms' in summary_rows(document)[0]
    assert 'busy' not in markdown_of(document)
    machine.update(busy=True, others_cpus=1.26, cpus=2, load_average={'begin': 0.5, 'end': 2.25})
    assert 'p50 ms (busy)' in summary_rows(document)[0]
    told = 'other processes used 1.3 of 2 CPUs; load average 0.5 at the beginning, 2.2 at the end'
    assert told in markdown_of(document)


def test_the_tables(document):
    heading, plain, small = summary_rows(document)
    assert heading[:5] == ('precision', 'box mAP50-95', 'loss', 'box mAP50', 'loss')
    assert plain[0] == 'fp32'
    assert small[:5] == ('int8', '50.00', '1.25', '50.00', '0.00')
    text = markdown_of(document)
    tables = [line for line in text.splitlines() if line.startswith('|')]
    assert len({line.count('|') for line in tables[:4]}) == 1
    assert '| car | 100.00 | 100.00 |' in tables
    assert 'image 1: cut | off' in text


def test_the_plots(document):
    plots = plots_of(document)
    assert set(plots) == {'latency', 'classes_boxes', 'confusion_fp32', 'confusion_int8'}
    for text in plots.values():
        root = ElementTree.fromstring(text)
        width, height = (float(value) for value in root.get('viewBox').split()[2:])
        for shape in root:
            assert 0 <= float(shape.get('x', 0)) <= width
            assert 0 <= float(shape.get('y', 0)) <= height
    shown = [e.text for e in ElementTree.fromstring(plots['confusion_fp32']) if e.text]
    assert {'car', 'dog', 'none', '100.0'} <= set(shown)
    bars = [e.text for e in ElementTree.fromstring(plots['classes_boxes']) if e.text]
    assert bars.count('100.0') == 2
    assert bars.count('0.0') == 2
