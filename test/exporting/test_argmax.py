"""Class ids computed in the graph are those of the decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from trt_perception.building.precision import prepare_graph
from trt_perception.building.tensorrt_builder import BuildOptions, build_plan
from trt_perception.decoding.registry import decoder_for
from trt_perception.errors import BackendUnavailableError, ExportError
from trt_perception.exporting.argmax import add_argmax
from trt_perception.exporting.comparison import outputs_of, random_images
from trt_perception.model_input import InputSpec
from trt_perception.model_spec import ClassSpec, ModelSpec
from trt_perception.onnx_file import read_onnx
from trt_perception.preprocessing.letterbox import Letterbox
from trt_perception.results import DecodeSettings
from trt_perception.runtime.tensorrt_flavour import find_flavour

SIZE = (64, 48)
CLASSES = 4


def semantic(path: Path, stride: int = 4, outputs=('logits',), classes: int = CLASSES) -> Path:
    """One convolution for each output, the first of `stride`."""
    random = np.random.default_rng(1)
    nodes, weights, values = [], [], []
    for index, name in enumerate(outputs):
        kernel = random.normal(0, 1, (classes, 3, stride, stride)).astype(np.float32)
        kernel -= kernel.mean(axis=(1, 2, 3), keepdims=True)
        weights.append(onnx.numpy_helper.from_array(kernel, f'w{index}'))
        nodes.append(
            helper.make_node(
                'Conv', ['images', f'w{index}'], [name], f'c{index}', strides=[stride, stride]
            )
        )
        shape = ['batch', classes, SIZE[1] // stride, SIZE[0] // stride]
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    shape = ['batch', 3, SIZE[1], SIZE[0]]
    images = helper.make_tensor_value_info('images', TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, 'semantic', [images], values, weights)
    opsets = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def with_argmax(path: Path) -> Path:
    model = onnx.load(path)
    add_argmax(model, read_onnx(path))
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True), True)
    out = path.with_name('ids.onnx')
    onnx.save(model, out)
    return out


def decoded(path: Path, images: np.ndarray) -> np.ndarray:
    """uint8 [B, H, W] that the decoder makes of the network's outputs."""
    file = read_onnx(path)
    spec = ModelSpec(
        name='m',
        onnx=path,
        family='semantic',
        task='semantic',
        input=InputSpec(size=SIZE),
        classes=tuple(ClassSpec(name=f'c{i}') for i in range(CLASSES)),
    )
    letterboxes = [Letterbox.fit(SIZE, SIZE)] * len(images)
    results = decoder_for(spec, file.outputs).decode(
        outputs_of(path, images), letterboxes, DecodeSettings()
    )
    return np.stack([result.class_ids for result in results])


@pytest.mark.parametrize('stride', [1, 4, 8])
def test_the_ids_are_those_that_the_decoder_finds(tmp_path, stride):
    before = semantic(tmp_path / 'net.onnx', stride)
    after = with_argmax(before)
    images = random_images((2, 3, SIZE[1], SIZE[0]))
    [output] = read_onnx(after).outputs
    assert (output.name, output.dtype, output.shape) == ('class_ids', np.uint8, (-1, 48, 64))
    ids = outputs_of(after, images)['class_ids']
    assert len(np.unique(ids)) >= 3
    np.testing.assert_array_equal(decoded(after, images), ids)
    # Where two classes are all but equal, rounding decides.
    assert (ids == decoded(before, images)).mean() > 0.999


def test_auxiliary_maps_are_dropped(tmp_path):
    after = with_argmax(semantic(tmp_path / 'net.onnx', outputs=('aux', 'out')))
    assert [output.name for output in read_onnx(after).outputs] == ['class_ids']
    assert sum(node.op_type == 'Conv' for node in onnx.load(after).graph.node) == 1


@pytest.mark.parametrize(
    'options', [{'outputs': ('a', 'b')}, {'classes': 1}, {'classes': 255}], ids=str
)
def test_what_it_is_not_for(tmp_path, options):
    with pytest.raises(ExportError, match='--argmax wants one output'):
        with_argmax(semantic(tmp_path / 'net.onnx', **options))


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_tensorrt_builds_it(tmp_path, precision):
    try:
        rtx = find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    path = with_argmax(semantic(tmp_path / 'net.onnx'))
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, path)
    graph = prepare_graph(path, precision)
    assert build_plan(rtx, graph.model, BuildOptions(targets=('8.6',)), origin='net').plan
