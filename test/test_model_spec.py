from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from networks import write_constant_network
from trt_perception.errors import ModelFileError, ModelSpecError
from trt_perception.model_spec import load_model_spec
from trt_perception.model_store import list_models

METADATA = {'names': '["car", "dog"]', 'task': 'detect', 'family': 'yolov8'}


@pytest.fixture
def model(tmp_path):
    """Writes a network with the given metadata and a YAML file beside it."""

    def write(yaml: str, metadata=METADATA) -> Path:
        outputs = {'output0': np.zeros((6, 8), np.float32)}
        write_constant_network(tmp_path / 'net.onnx', outputs, metadata=metadata)
        path = tmp_path / 'net.yaml'
        path.write_text(yaml)
        return path

    return write


def test_metadata_fills_what_the_file_leaves_out(model):
    spec = load_model_spec(model('onnx: net.onnx'))
    assert (spec.name, spec.family, spec.task) == ('net', 'yolov8', 'detect')
    assert spec.class_names == ('car', 'dog')
    assert spec.input.size == (64, 48)
    assert spec.input.color_order == 'rgb'
    assert spec.input.scale == pytest.approx((1 / 255,) * 3)
    assert spec.onnx.is_absolute()


def test_the_file_wins_over_the_metadata(model):
    spec = load_model_spec(
        model(
            'onnx: net.onnx\nname: mine\ntask: instance\n'
            'classes: [lorry, {name: cat, color: [1, 2, 3]}]\n'
            'input: {size: [32, 16], color_order: bgr, mean: 127.5, scale: [1, 2, 3]}\n'
            'thresholds: {score: 0.5}\n'
        )
    )
    assert (spec.name, spec.task) == ('mine', 'instance')
    assert [c.color for c in spec.classes] == [None, (1, 2, 3)]
    assert spec.input.size == (32, 16)
    assert spec.input.mean == (127.5, 127.5, 127.5)
    assert spec.input.scale == (1, 2, 3)
    assert (spec.thresholds.score, spec.thresholds.iou) == (0.5, 0.6)


@pytest.mark.parametrize(('name', 'family'), [('yolo11', 'yolov8'), ('yolo26', 'yolov10')])
def test_models_that_share_the_outputs_of_a_family(model, name, family):
    assert load_model_spec(model(f'onnx: net.onnx\nfamily: {name}')).family == family


def test_a_family_brings_the_usual_input_of_its_models(model):
    written = load_model_spec(model('onnx: net.onnx\nfamily: yolox')).input
    assert (written.color_order, written.scale, written.pad) == ('bgr', (1, 1, 1), 'bottom_right')
    yaml = 'onnx: net.onnx\nfamily: yolox\ninput: {color_order: rgb, scale: 2, pad: centre}'
    stated = load_model_spec(model(yaml)).input
    assert (stated.color_order, stated.scale, stated.pad) == ('rgb', (2, 2, 2), 'centre')


def test_precision_limits(model):
    assert load_model_spec(model('onnx: net.onnx')).quantisation.keep_float == ()
    yaml = 'onnx: net.onnx\nquantisation: {keep_float: [/head*], gate: {agreement: 0.8}}'
    quantisation = load_model_spec(model(yaml)).quantisation
    assert quantisation.keep_float == ('/head*',)
    assert (quantisation.gate.agreement, quantisation.gate.relative_error) == (0.8, None)


def test_normalisation_is_read_from_the_metadata(model):
    metadata = {**METADATA, 'mean': '[123.7, 116.3, 103.5]', 'scale': '0.017', 'color_order': 'bgr'}
    spec = load_model_spec(model('onnx: net.onnx', metadata))
    assert spec.input.mean == (123.7, 116.3, 103.5)
    assert spec.input.scale == (0.017, 0.017, 0.017)
    assert spec.input.color_order == 'bgr'


def test_a_network_that_takes_pixels_gets_them_as_they_are(model, tmp_path):
    path = model('onnx: net.onnx')
    outputs = {'output0': np.zeros((6, 8), np.float32)}
    write_constant_network(
        tmp_path / 'net.onnx', outputs, metadata=METADATA, input_type=TensorProto.UINT8
    )
    assert load_model_spec(path).input.scale == (1, 1, 1)
    path.write_text('onnx: net.onnx\ninput: {mean: 127}')
    with pytest.raises(ModelSpecError, match='mean must be 0'):
        load_model_spec(path)


@pytest.mark.parametrize(
    ('yaml', 'complaint'),
    [
        ('', 'net.yaml: Expected'),
        ('just text', 'net.yaml: Expected'),
        ('onnx: [', 'not valid YAML'),
        ('version: 2001-13-45', 'not valid YAML'),
        ('version: !!timestamp soon', 'not valid YAML'),
        ('[' * 3000, 'not valid YAML'),
        ('onnx: ""', 'must name the ONNX file'),
        ('onnx: "a\\0b"', 'must name the ONNX file'),
        ('task: detect', 'missing required field `onnx`'),
        ('onnx: net.onnx\nthreshold: 1', 'unknown field `threshold`.*thresholds'),
        ('onnx: net.onnx\ninput: {sise: [1, 2]}', r'unknown field `sise`.*\$\.input.*size'),
        ('onnx: net.onnx\ninput: {size: 640}', r'\$\.input\.size'),
        ('onnx: net.onnx\ninput: {size: [640]}', r'length 2.*\$\.input\.size'),
        ('onnx: net.onnx\ninput: {size: [0, 4]}', r'1\.\.8192'),
        ('onnx: net.onnx\ninput: {scale: 0}', 'scale must be finite and not 0'),
        ('onnx: net.onnx\ninput: {scale: .nan}', 'scale must be finite'),
        ('onnx: net.onnx\ninput: {mean: .inf}', 'mean must be finite'),
        ('onnx: net.onnx\ninput: {pad_value: 300}', r'0\.\.255'),
        ('onnx: net.onnx\nthresholds: {score: high}', r'\$\.thresholds\.score'),
        ('onnx: net.onnx\nthresholds: {score: 2}', r'score must lie in 0\.\.1'),
        ('onnx: net.onnx\nthresholds: {max_detections: 0}', 'max_detections'),
        ('onnx: net.onnx\nquantisation: {gate: {agreement: 2}}', 'agreement must lie in 0..1'),
        ('onnx: net.onnx\nquantisation: {gate: {overlap: -1}}', 'overlap must lie in 0..1'),
        ('onnx: net.onnx\nquantisation: {gate: {relative_error: -1}}', 'at least 0'),
        ('onnx: net.onnx\nquantisation: {keep: [a]}', 'under quantisation: keep_float, gate'),
        ('onnx: net.onnx\nfamily: yolo8', "did you mean 'yolov8'"),
        ('onnx: net.onnx\ntask: semantic', 'does not do task'),
        ('onnx: net.onnx\ntask: dance', r'\$\.task'),
        ('onnx: net.onnx\nclasses: []', 'class names are stated neither'),
        ('onnx: net.onnx\nclasses: ["", car]', 'a class needs a name'),
        ('onnx: net.onnx\nclasses: [car, car]', 'repeated: car'),
        ('onnx: net.onnx\nclasses: [{name: car, color: [0, 0, 256]}]', 'colors must be'),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(model, yaml, complaint):
    with pytest.raises(ModelSpecError, match=f'(?s){complaint}') as caught:
        load_model_spec(model(yaml))
    assert 'net.yaml' in str(caught.value)


@pytest.mark.parametrize(
    ('lost', 'complaint'), [('names', 'class names'), ('family', '`family` is stated neither')]
)
def test_what_nobody_states_is_asked_for(model, lost, complaint):
    metadata = {key: value for key, value in METADATA.items() if key != lost}
    with pytest.raises(ModelSpecError, match=complaint):
        load_model_spec(model('onnx: net.onnx', metadata))


def test_too_many_semantic_classes_are_refused(model):
    metadata = {'family': 'semantic', 'names': str([f'c{i}' for i in range(255)])}
    with pytest.raises(ModelSpecError, match='at most 254'):
        load_model_spec(model('onnx: net.onnx', metadata))


def test_missing_files_are_named(model, tmp_path):
    with pytest.raises(ModelSpecError, match=r'gone\.yaml: no such model file'):
        load_model_spec(tmp_path / 'gone.yaml')
    with pytest.raises(ModelFileError, match=r'gone\.onnx: no such ONNX file'):
        load_model_spec(model('onnx: gone.onnx'))


def test_class_filter_knows_names_and_suggests(model):
    spec = load_model_spec(model('onnx: net.onnx'))
    assert spec.class_filter([]) is None
    assert spec.class_filter(['dog']) == {1}
    with pytest.raises(ModelSpecError, match=r"'cra' \(did you mean 'car'\?\).*car, dog"):
        spec.class_filter(['dog', 'cra'])


def test_every_shipped_model_loads():
    specs = [load_model_spec(path) for path in list_models()]
    assert {'street_detect', 'street_instance', 'street_semantic'} <= {s.name for s in specs}
