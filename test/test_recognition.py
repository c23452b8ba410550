"""What a file is told to be: the right family or a question, never another family."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from networks import write_constant_network
from trt_perception.errors import ModelFileError, ModelOutputError, ModelSpecError
from trt_perception.families import BODY_POINTS, FACE_POINTS, FAMILIES
from trt_perception.family_signatures import NOT_SERVED, SIGNATURES
from trt_perception.model_spec import load_model_spec
from trt_perception.pipeline.perception import open_pipeline
from trt_perception.recognition import recognise
from typical_outputs import Typical, cells, faces, typical

SIZE = (640, 640)


def ids(cases):
    return [f'{c.family}-{c.task}-{"told" if c.told else "asked"}' for c in cases]


def answer(case: Typical, size, classes, **options):
    return recognise(case.file(size, **options), classes=classes, size=size)


def test_every_family_and_task_has_a_signature_and_the_other_way_round():
    signed = {(s.family, s.task) for s in SIGNATURES if s.family not in NOT_SERVED}
    assert signed == {(family, task) for family, tasks in FAMILIES.items() for task in tasks}


@pytest.mark.parametrize('case', typical(SIZE, 80), ids=ids(typical(SIZE, 80)))
def test_a_typical_file_is_told(case):
    told = answer(case, SIZE, 80)
    if case.told:
        assert told.chosen is not None, told.question()
        assert (told.chosen.family, told.chosen.task) == (case.family, case.task)
        # The reason shows the shapes as they are.
        for name, shape in case.outputs.items():
            assert f'{name} {list(shape)}' in told.chosen.reason
    else:
        assert told.chosen is None
        assert (case.family, case.task) in [(c.family, c.task) for c in told.candidates]
        assert case.family in told.question()


@pytest.mark.parametrize('case', faces(SIZE), ids=ids(faces(SIZE)))
def test_faces_need_no_class_names(case):
    told = answer(case, SIZE, None)
    assert (told.chosen is not None) == case.told
    assert case.family in [c.family for c in told.candidates]
    if told.chosen is not None:
        assert (told.chosen.family, told.chosen.task) == (case.family, case.task)


@settings(max_examples=40)
@given(
    st.tuples(st.integers(5, 40), st.integers(5, 40)),
    st.integers(1, 400),
    st.integers(1, 60),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_right_family_or_a_question(tiles, classes, points, named, open_batch, open_size):
    """For every family's outputs, at any size and class count, with and without names."""
    size = (tiles[0] * 32, tiles[1] * 32)
    cases = typical(size, classes, points) + (faces(size) if not named else [])
    for case in cases:
        file = case.file(size, open_batch=open_batch)
        told = recognise(file, classes=classes if named else None, size=None if open_size else size)
        if told.chosen is not None:
            assert (told.chosen.family, told.chosen.task) == (case.family, case.task), case
        else:
            fits = [(c.family, c.task) for c in told.candidates]
            assert (case.family, case.task) in fits, (case, told)


def test_open_extents_are_asked_about():
    case = Typical('yolov8', 'detect', {'output0': (-1, -1, -1)})
    told = recognise(case.file(SIZE, open_batch=True), classes=80)
    assert told.chosen is None
    assert {'yolov8', 'yolov5', 'yolov10', 'rtdetr'} <= {c.family for c in told.candidates}


def test_another_number_of_names_is_said():
    told = answer(typical(SIZE, 80)[0], SIZE, 3)
    assert told.chosen is None
    assert 'not for the 3 classes that are named' in told.question()
    assert 'yolov8 (detect) with 80' in told.question()


def test_outputs_of_no_family():
    case = Typical('', '', {'a': (1, 2, 3, 4, 5, 6)})
    assert 'no family' in answer(case, SIZE, 80).question()


def test_the_decoding_of_yolox_is_told_by_its_graph():
    raw = Typical('yolox', 'detect', {'output': (1, cells(SIZE, 8, 16, 32), 85)})
    assert answer(raw, SIZE, 80).chosen.options == {}
    decoded = replace(raw, operators=frozenset({'Conv', 'Exp'}))
    assert answer(decoded, SIZE, 80).chosen.options == {'decoded': True}


# Through the model's files


def written(tmp_path, outputs, *, metadata=None, yaml=None, size=(64, 64), **options):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    path = write_constant_network(
        tmp_path / 'net.onnx', arrays, size=size, metadata=metadata, **options
    )
    if yaml is None:
        return path
    (tmp_path / 'net.yaml').write_text(f'onnx: net.onnx\n{yaml}')
    return tmp_path / 'net.yaml'


NAMES = {'names': "{0: 'car', 1: 'dog'}"}
DETECT = {'output0': (6, 84)}


def test_an_onnx_file_that_says_everything_needs_no_yaml(tmp_path):
    spec = load_model_spec(written(tmp_path, DETECT, metadata=NAMES))
    assert (spec.name, spec.family, spec.task) == ('net', 'yolov8', 'detect')
    assert spec.class_names == ('car', 'dog')
    assert spec.input.size == (64, 64)
    assert spec.onnx == (tmp_path / 'net.onnx').resolve()


def test_without_names_the_file_asks_for_them_or_for_the_family(tmp_path):
    with pytest.raises(ModelSpecError, match=r'family: NAME.*yolov8') as caught:
        load_model_spec(written(tmp_path, DETECT))
    assert 'yolov8 (detect), if output0 [?, 6, 84]' in str(caught.value)
    spec = load_model_spec(written(tmp_path, DETECT, yaml='classes: [car, dog]'))
    assert (spec.family, spec.task) == ('yolov8', 'detect')


def test_the_metadata_of_ultralytics_is_understood(tmp_path):
    metadata = {
        'task': 'pose', 'kpt_shape': '[17, 3]', 'names': "{0: 'person'}", 'imgsz': '[64, 64]',
        'description': 'Ultralytics YOLO11n-pose model trained on coco-pose.yaml',
    }  # fmt: skip
    spec = load_model_spec(written(tmp_path, {'output0': (56, 84)}, metadata=metadata))
    assert (spec.family, spec.task) == ('yolov8', 'pose')
    assert spec.key_points == BODY_POINTS
    assert all(max(pair) < 17 for pair in spec.skeleton)
    assert spec.options == {'key_point_shape': (17, 3)}
    segment = {'task': 'segment', **NAMES}
    outputs = {'output0': (38, 84), 'output1': (32, 16, 16)}
    assert load_model_spec(written(tmp_path, outputs, metadata=segment)).task == 'instance'


def test_normalisation_that_nobody_states_is_asked_for(tmp_path):
    logits = {'logits': (2, 16, 16)}
    with pytest.raises(ModelSpecError, match=r'how the pixels are normalised.*`family: semantic`'):
        load_model_spec(written(tmp_path, logits, metadata=NAMES))
    metadata = {**NAMES, 'mean': '127.5', 'scale': '0.0078'}
    assert load_model_spec(written(tmp_path, logits, metadata=metadata)).input.mean == (127.5,) * 3
    yaml = 'input: {mean: [1, 2, 3]}'
    spec = load_model_spec(written(tmp_path, logits, metadata=NAMES, yaml=yaml))
    assert (spec.family, spec.input.mean) == ('semantic', (1, 2, 3))


def test_faces_have_a_class_and_points(tmp_path):
    outputs = {'loc': (168, 4), 'conf': (168, 2), 'landms': (168, 10)}
    spec = load_model_spec(written(tmp_path, outputs))
    assert (spec.family, spec.class_names) == ('retinaface', ('face',))
    assert spec.key_points == FACE_POINTS
    assert spec.input.color_order == 'bgr'


def test_a_family_without_a_decoder_says_what_to_do(tmp_path):
    with pytest.raises(ModelSpecError, match=r'yolov6.*family: yolox.*decoded: true'):
        load_model_spec(written(tmp_path, {'outputs': (84, 7)}, metadata=NAMES))


def test_the_task_of_a_stated_family_is_told_by_the_outputs(tmp_path):
    outputs = {'output0': (38, 84), 'output1': (32, 16, 16)}
    spec = load_model_spec(written(tmp_path, outputs, metadata=NAMES, yaml='family: yolo11'))
    assert (spec.family, spec.task) == ('yolov8', 'instance')


@pytest.mark.parametrize(('rows', 'names', 'task'), [(7, 'ab', 'oriented'), (84, 'abcd', 'pose')])
def test_fewer_names_than_classes_make_no_detector_something_else(tmp_path, rows, names, task):
    """Who forgets a class is told so: the rest is not taken for an angle or for key points."""
    outputs = {'output0': (rows, 84)}
    yaml = f'classes: {list(names)}'
    with pytest.raises(ModelSpecError, match=rf'those of {task}, .*of detect: state `task'):
        load_model_spec(written(tmp_path, outputs, yaml=yaml))
    path = written(tmp_path, outputs, yaml=f'family: yolov8\n{yaml}')
    assert load_model_spec(path).task == 'detect'
    with pytest.raises(ModelOutputError, match=rf'{rows - 4} classes.*lists.*`task: {task}`'):
        open_pipeline(path, backend='onnxruntime-cpu')
    path = written(tmp_path, outputs, yaml=f'family: yolov8\ntask: {task}\n{yaml}')
    assert load_model_spec(path).task == task
    path = written(tmp_path, outputs, metadata={'names': str(list(names))})
    assert load_model_spec(path).task == task  # the file itself says how many


CHOSEN = {
    'yolov10': {'output0': (300, 6)},
    'detr': {'labels': (300,), 'boxes': (300, 4), 'scores': (300,)},
}


@pytest.mark.parametrize('family', CHOSEN)
def test_a_list_of_classes_that_is_not_as_long_as_the_files_is_refused(tmp_path, family):
    """Shapes tell nothing of it where the network writes class numbers."""
    yaml = f'family: {family}\nclasses: [car, dog, cow]'
    with pytest.raises(ModelSpecError, match=r'lists 3 .*the ONNX file names 2: car, dog.*filter'):
        load_model_spec(written(tmp_path, CHOSEN[family], metadata=NAMES, yaml=yaml))
    yaml = f'family: {family}\nclasses: [auto, hund]'
    spec = load_model_spec(written(tmp_path, CHOSEN[family], metadata=NAMES, yaml=yaml))
    assert spec.class_names == ('auto', 'hund')


@pytest.mark.parametrize('family', ['yolov8', 'yolov10'])
def test_names_in_the_file_that_cannot_be_read_do_not_matter_where_classes_are_listed(
    tmp_path, family
):
    outputs = {'yolov8': DETECT, **CHOSEN}[family]
    yaml = f'family: {family}\nclasses: [car, dog]'
    path = written(tmp_path, outputs, metadata={'names': 'car and dog'}, yaml=yaml)
    assert load_model_spec(path).class_names == ('car', 'dog')


def test_images_with_the_channels_last_are_refused_with_a_remedy(tmp_path):
    path = written(tmp_path, DETECT, metadata=NAMES)
    model = onnx.load(path)
    for axis, extent in enumerate((1, 64, 64, 3)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = extent
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match=r'NHWC.*trt_perception export net.onnx'):
        load_model_spec(path)


def test_classification_models_of_ultralytics_take_plain_pixels(tmp_path):
    metadata = {
        **NAMES,
        'task': 'classify',
        'description': 'Ultralytics YOLO11n-cls model trained on imagenet',
    }
    spec = load_model_spec(written(tmp_path, {'output0': (2,)}, metadata=metadata))
    assert (spec.family, spec.input.resize) == ('classify', 'centre_crop')
    assert (spec.input.mean, spec.input.scale) == ((0,) * 3, pytest.approx((1 / 255,) * 3))
    assert spec.input.shorter_side == 64
    stretched = written(
        tmp_path, {'output0': (2,)}, metadata=metadata, yaml='input: {resize: stretch}'
    )
    assert load_model_spec(stretched).input.shorter_side is None


def test_a_network_that_takes_pixels_needs_no_normalisation_whatever_its_family(tmp_path):
    outputs = {'dets': (100, 4), 'labels': (100, 3)}
    path = written(tmp_path, outputs, metadata=NAMES, input_type=onnx.TensorProto.UINT8)
    spec = load_model_spec(path)
    assert (spec.family, spec.input.mean, spec.input.scale) == ('rfdetr', (0,) * 3, (1,) * 3)
