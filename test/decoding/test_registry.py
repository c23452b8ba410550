from pathlib import Path

import msgspec
import numpy as np
import pytest

from trt_perception.decoding.registry import decoder_for
from trt_perception.decoding.semantic import SemanticDecoder
from trt_perception.decoding.yolov8 import Yolov8Decoder
from trt_perception.errors import ModelOutputError, ModelSpecError
from trt_perception.families import FAMILIES
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.tensor_spec import TensorSpec


def spec(family='yolov8', task='detect', classes=80):
    return ModelSpec(
        name='street',
        onnx=Path('street.onnx'),
        family=family,
        task=task,
        input=InputSpec(size=(640, 640)),
        classes=tuple(ClassSpec(name=f'class {i}') for i in range(classes)),
    )


def tensors(*shapes, dtype='f4'):
    return [TensorSpec(f'output{i}', np.dtype(dtype), s) for i, s in enumerate(shapes)]


PROTOTYPES = (1, 32, 160, 160)


@pytest.mark.parametrize(
    ('model', 'outputs', 'decoder'),
    [
        (spec(), tensors((-1, 84, 8400)), Yolov8Decoder),
        (spec(), tensors((1, 84, 8400), dtype='f2'), Yolov8Decoder),
        (spec(), tensors((-1, -1, -1)), Yolov8Decoder),
        (spec(task='instance'), tensors((-1, 116, 8400), PROTOTYPES), Yolov8Decoder),
        (spec(task='instance'), tensors(PROTOTYPES, (-1, 116, 8400)), Yolov8Decoder),
        (spec(task='instance'), tensors((1, 116, 8400), (1, -1, -1, -1)), Yolov8Decoder),
        (spec('semantic', 'semantic', 13), tensors((-1, 13, 96, 160)), SemanticDecoder),
        (spec('semantic', 'semantic', 13), tensors((-1, -1, -1, -1)), SemanticDecoder),
        (spec('semantic', 'semantic', 13), tensors((-1, 96, 160), dtype='i8'), SemanticDecoder),
        (spec('semantic', 'semantic', 13), tensors((1, 1, 9, 9), dtype='u1'), SemanticDecoder),
    ],
)
def test_outputs_of_the_family(model, outputs, decoder):
    assert isinstance(decoder_for(model, outputs), decoder)


EFFICIENT_NMS = [
    TensorSpec('num_dets', np.dtype('i4'), (-1, 1)),
    TensorSpec('det_boxes', np.dtype('f4'), (-1, 100, 4)),
    TensorSpec('det_scores', np.dtype('f4'), (-1, 100)),
    TensorSpec('det_classes', np.dtype('i4'), (-1, 100)),
]
DETR = [
    TensorSpec('labels', np.dtype('i8'), (-1, 300)),
    TensorSpec('boxes', np.dtype('f4'), (-1, 300, 4)),
    TensorSpec('scores', np.dtype('f4'), (-1, 300)),
]
OPTIONS = {
    'ssd': {'boxes': 'normalised', 'activation': 'none'},
    'retinanet': {'activation': 'none'},
    'retinaface': {'activation': 'none'},
    'scrfd': {'activation': 'none'},
    'classify': {'activation': 'softmax'},
}
"""What files would tell by their last operator."""
OUTPUTS = {
    ('yolov5', 'detect'): tensors((-1, 25200, 85)),
    ('yolov5', 'instance'): tensors((-1, 25200, 117), PROTOTYPES),
    ('yolov7', 'detect'): tensors((-1, 25200, 85)),
    ('yolov8', 'detect'): tensors((-1, 84, 8400)),
    ('yolov8', 'instance'): tensors((-1, 116, 8400), PROTOTYPES),
    ('yolov8', 'pose'): tensors((-1, 84 + 51, 8400)),
    ('yolov8', 'oriented'): tensors((-1, 85, 8400)),
    ('yolov10', 'detect'): tensors((-1, 300, 6)),
    ('yolov10', 'instance'): tensors((-1, 300, 38), PROTOTYPES),
    ('yolov10', 'pose'): tensors((-1, 300, 57)),
    ('yolov10', 'oriented'): tensors((-1, 300, 7)),
    ('yolox', 'detect'): tensors((-1, 8400, 85)),
    ('efficient_nms', 'detect'): EFFICIENT_NMS,
    ('rtdetr', 'detect'): tensors((-1, 300, 84)),
    ('detr', 'detect'): DETR,
    ('rfdetr', 'detect'): tensors((-1, 300, 4), (-1, 300, 80)),
    ('rfdetr', 'instance'): tensors((-1, 300, 4), (-1, 300, 80), (-1, 300, 160, 160)),
    ('ssd', 'detect'): tensors((-1, 3000, 81), (-1, 3000, 4)),
    ('retinanet', 'detect'): tensors((-1, 76725, 80), (-1, 76725, 4)),
    ('retinaface', 'face'): tensors((-1, 16800, 4), (-1, 16800, 2), (-1, 16800, 10)),
    ('scrfd', 'face'): tensors(*[(n, c) for c in (1, 4, 10) for n in (12800, 3200, 800)]),
    ('arcface', 'embed'): tensors((-1, 512)),
    ('semantic', 'semantic'): tensors((-1, 80, 96, 160)),
    ('classify', 'classify'): tensors((-1, 80)),
}
"""Of an input of 640x640 and 80 classes."""


@pytest.mark.parametrize(
    ('family', 'task'), [(f, t) for f, tasks in FAMILIES.items() for t in tasks]
)
def test_every_family_has_a_decoder(family, task):
    model = spec(family, task, classes=1 if task == 'face' else 80)
    model = msgspec.structs.replace(model, options=OPTIONS.get(family, {}))
    assert decoder_for(model, OUTPUTS[family, task]).decode


def test_an_unknown_family():
    with pytest.raises(ModelSpecError, match='Known: yolov5, yolov7, '):
        decoder_for(spec('yolov9000'), [])


SEMANTIC = spec('semantic', 'semantic', 13)
INSTANCE = spec(task='instance')


@pytest.mark.parametrize(
    ('model', 'outputs', 'text'),
    [
        (spec(), [], 'has 0.*: none'),
        (spec(classes=8), tensors((-1, 84, 8400)), '84 rows: 4 box.*80 classes.*lists 8'),
        (spec(classes=80), tensors((-1, 12, 8400)), '12 rows: 4 box.*8 classes.*lists 80'),
        (spec(), tensors((-1, 8400, 84)), 'transposed'),
        (spec(), tensors((-1, 85, 8400)), 'objectness'),
        (spec(), tensors((-1, 3, 8400)), 'check `family`'),
        (spec(), tensors((-1, 116, 8400), PROTOTYPES), 'task: instance'),
        (spec(), tensors((-1, 13, 96, 160)), 'has 0.*: output0 float32'),
        (spec(), tensors((-1, 84, 8400), dtype='i8'), 'floating-point'),
        (spec(), tensors((-1, 84, 8400), (-1, 84, 2100)), 'has 2'),
        (INSTANCE, tensors((-1, 84, 8400)), 'prototypes'),
        (
            INSTANCE,
            tensors((-1, 84, 8400), PROTOTYPES),
            '116 = 4 box . 80 classes . 32 mask.*task: detect',
        ),
        (INSTANCE, tensors((-1, 40, 8400), PROTOTYPES), '4 classes . 32 mask.*lists 80'),
        (INSTANCE, tensors((-1, 84, 8400), (-1, -1, 160, 160)), 'no mask coeff'),
        (SEMANTIC, [], 'wants one output'),
        (SEMANTIC, tensors((-1, 84, 8400)), 'family: yolov8'),
        (SEMANTIC, tensors((-1, 84, 8400), PROTOTYPES), 'wants one output'),
        (SEMANTIC, tensors((-1, 19, 96, 160)), '19 classes.*lists 13'),
        (SEMANTIC, tensors((-1, 96, 160, 13)), 'transposed'),
        (SEMANTIC, tensors((-1, 13)), 'no semantic model'),
        (SEMANTIC, tensors((-1, 13, 9, 9), dtype='i4'), 'for class ids'),
        (SEMANTIC, tensors((-1, 13, 9, 9), dtype='c8'), 'should be'),
    ],
)
def test_outputs_that_do_not_fit_the_family(model, outputs, text):
    with pytest.raises(ModelOutputError, match=text) as caught:
        decoder_for(model, outputs)
    message = str(caught.value)
    assert message.startswith('model street (street.onnx): ')
    for output in outputs:
        assert str(list(output.shape)) in message
