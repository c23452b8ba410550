import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from building_cases import DETECTOR, ROOT, write_model
from family_networks import FAMILIES
from networks import write_scaling_detr
from trt_perception.building.build_progress import BuildControl
from trt_perception.building.calibration_ranges import (
    CalibrationRanges,
    TensorRange,
    ranges_path,
    write_ranges,
)
from trt_perception.building.engine_cache import EngineCache
from trt_perception.building.engines import (
    Wish,
    gpu_identity,
    obtain_engine,
    request_engine,
)
from trt_perception.building.onnx_graph import graph_digest, load_graph
from trt_perception.building.precision import PRECISIONS
from trt_perception.errors import (
    BackendUnavailableError,
    BuildCancelledError,
    CalibrationError,
    EngineBuildError,
    ModelFileError,
    ParameterError,
)
from trt_perception.model_spec import load_model_spec
from trt_perception.runtime.gpu_probes import Gpu
from trt_perception.runtime.tensorrt_flavour import Flavour, find_flavour

TENSORRT = Flavour('tensorrt', '10.3.0', None)
RTX = Flavour('tensorrt-rtx', '1.7.1', None)
ORIN = Gpu('Orin', '8.7', 8, 7_800_000_000)
SEMANTIC = 'family: semantic\nclasses: [a, b, c, d, e, f]\n'
INPUT = 'input: {size: [128, 96]}\n'
AHEAD = Wish(precision='fp32', targets=('8.6',))


@pytest.fixture(scope='session')
def rtx():
    try:
        return find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def model(tmp_path):
    network = FAMILIES['yolov8'](batch='batch', open_size=True)
    return write_model(tmp_path / 'model', network, DETECTOR + INPUT)


def request(model_yaml, wish=AHEAD, flavour=RTX, gpu=None):
    return request_engine(load_model_spec(model_yaml), model_yaml, wish, flavour, gpu)


def calibrate(model_yaml):
    """Ranges for every tensor, as wide as onnxruntime finds them on noise."""
    import onnxruntime

    path = model_yaml.with_name('net.onnx')
    network = load_graph(path)
    names = [name for node in network.graph.node for name in node.output]
    for name in names:
        network.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(network.SerializeToString())
    images = np.random.default_rng(0).random((1, 3, 96, 128), np.float32)
    values = session.run(names, {'images': images})
    tensors = {'images': TensorRange(range=1.0)}
    for name, value in zip(names, values, strict=True):
        if value.dtype == np.float32:
            tensors[name] = TensorRange(range=float(np.abs(value).max()))
    ranges = CalibrationRanges(
        onnx='net.onnx',
        onnx_sha256=graph_digest(path),
        method='minmax',
        preprocessing=load_model_spec(model_yaml).input,
        tensors=tensors,
    )
    write_ranges(ranges_path(model_yaml), ranges)


def test_the_identity_names_everything_that_the_engine_depends_on(model):
    identity = request(model, Wish(precision='fp16', batch=(1, 2, 4)), TENSORRT, ORIN).identity
    assert identity.onnx == graph_digest(model.with_name('net.onnx'))
    assert (identity.tensorrt.flavour, identity.tensorrt.version) == ('tensorrt', '10.3.0')
    assert identity.gpu == gpu_identity(ORIN)
    assert (identity.gpu.sm_count, identity.gpu.memory_gib) == (8, 7)
    assert str(identity.profiles[0]['images']) == '1x3x96x128:2x3x96x128:4x3x96x128'
    assert identity.converters.keys() >= {'preparation', 'onnx'}


@pytest.mark.parametrize(
    'wish',
    [
        Wish(precision='fp16', targets=('8.6',)),
        Wish(precision='fp32', targets=('8.9',)),
        Wish(precision='fp32', targets=('8.6',), batch=(1, 1, 2)),
        Wish(precision='fp32', targets=('8.6',), sizes=((128, 96), (128, 96), (256, 192))),
        Wish(precision='fp32', targets=('8.6',), workspace_bytes=1 << 30),
        Wish(precision='fp32', targets=('8.6',), optimization_level=1),
        Wish(precision='fp32', targets=('8.6',), keep_float=('/Conv_0',)),
    ],
)
def test_every_part_of_the_wish_changes_the_key(model, wish):
    assert request(model, wish).identity.key != request(model).identity.key


def test_other_weights_with_the_same_names_change_the_key(model):
    before = request(model).identity
    write_model(model.parent, FAMILIES['yolov8'](batch='batch', seed=2))
    after = request(model).identity
    assert after.key != before.key
    assert after.onnx != before.onnx


def test_other_external_weights_change_the_key(tmp_path):
    model = write_model(tmp_path / 'model', FAMILIES['yolov8']())
    path = model.with_name('net.onnx')
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location='net.data')
    before = request(model).identity.key
    data = bytearray(path.with_name('net.data').read_bytes())
    data[1000] ^= 1
    path.with_name('net.data').write_bytes(data)
    assert request(model).identity.key != before


@pytest.mark.parametrize(
    ('location', 'match'),
    [
        ('net.data', r'net\.data is missing.*Copy it there'),
        ('../secret', r"'\.\./secret', outside the folder"),
        ('/etc/passwd', r"'/etc/passwd', outside the folder"),
    ],
)
def test_external_weights_that_are_missing_or_outside_are_refused(tmp_path, location, match):
    network = FAMILIES['yolov8']()
    tensor = next(t for t in network.graph.initializer if len(t.raw_data) > 100)
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value=location)
    folder = tmp_path / 'model'
    folder.mkdir()
    (tmp_path / 'secret').write_bytes(bytes(10_000))
    (folder / 'net.onnx').write_bytes(network.SerializeToString())
    (folder / 'net.yaml').write_text('onnx: net.onnx\nfamily: yolov8\nclasses: [a, b]\n')
    with pytest.raises(ModelFileError, match=match):
        request(folder / 'net.yaml')


@pytest.mark.parametrize('field', ['output', 'node', 'input'])
def test_a_network_without_outputs_nodes_or_inputs_is_refused(tmp_path, field):
    network = FAMILIES['yolov8']()
    network.graph.ClearField(field)
    with pytest.raises(ModelFileError, match=r'0 (outputs|nodes|inputs).*at least 1'):
        request(write_model(tmp_path / 'model', network))


def test_the_machine_that_builds_ahead_of_time_has_no_part_in_the_key(model):
    assert request(model, gpu=ORIN).identity == request(model, gpu=None).identity
    assert request(model).identity.cuda.driver is None


def test_the_order_of_targets_has_no_part_in_the_key(model):
    one = request(model, Wish(precision='fp32', targets=('12.0', '8.6', '8.6')))
    other = request(model, Wish(precision='fp32', targets=('8.6', '12.0')))
    assert one.identity == other.identity
    assert one.options.targets == ('8.6', '12.0')


def test_rtx_builds_for_the_gpu_that_is_there_if_it_serves_it(model):
    ada = Gpu('NVIDIA GeForce RTX 4090', '8.9')
    assert request(model, Wish(precision='fp32'), gpu=ada).options.targets == ('8.9',)
    with pytest.raises(ParameterError, match=r'finds Orin, which it does not serve.*--compute-cap'):
        request(model, Wish(precision='fp32'), gpu=ORIN)
    with pytest.raises(ParameterError, match=r'finds no GPU here.*--compute-capability'):
        request(model, Wish(precision='fp32'), gpu=None)


def test_tensorrt_needs_a_gpu(model):
    with pytest.raises(BackendUnavailableError, match='CUDA finds none'):
        request(model, Wish(precision='fp32'), TENSORRT, None)


def test_int8_needs_ranges_and_fp16_takes_them_if_they_are_there(model, tmp_path):
    wish = Wish(precision='int8', targets=('8.6',))
    with pytest.raises(CalibrationError, match='trt_perception calibrate'):
        obtain_engine(request(model, wish), EngineCache(tmp_path / 'engines'))
    without = request(model, Wish(precision='fp16', targets=('8.6',))).identity
    calibrate(model)
    assert without.calibration is None
    assert request(model, wish).identity.calibration == request(model, wish).ranges.digest()
    assert request(model, Wish(precision='fp16', targets=('8.6',))).identity.calibration
    assert request(model).identity.calibration is None  # fp32


def test_the_models_file_names_nodes_that_do_not_become_int8(tmp_path):
    text = DETECTOR + 'quantisation: {keep_float: [/Conv_0]}\n'
    model = write_model(tmp_path / 'model', FAMILIES['yolov8'](), text)
    for precision, kept in (('int8', ('/Conv_0', '/Conv_9')), ('fp16', ('/Conv_9',))):
        wish = Wish(precision, targets=('8.6',), keep_float=('/Conv_9',))
        assert request(model, wish).identity.keep_float == kept


def test_a_calibration_of_other_weights_is_refused(model):
    calibrate(model)
    write_model(model.parent, FAMILIES['yolov8'](batch='batch', seed=2))
    with pytest.raises(CalibrationError, match='made for another'):
        request(model, Wish(precision='int8', targets=('8.6',)))


def two_inputs():
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node('Add', ['images', 'other'], ['y'], 'add')],
        'g',
        [value(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ('images', 'other')],
        [value('y', TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def test_a_network_with_two_inputs_is_refused(tmp_path):
    model = write_model(tmp_path / 'model', two_inputs())
    with pytest.raises(ModelFileError, match=r'net\.onnx: has 2 inputs \(images, other\).*one'):
        request(model)


def test_a_second_input_that_the_family_fills_has_a_profile(tmp_path):
    text = 'onnx: net.onnx\nfamily: detr\nclasses: [car]\n'
    folder = tmp_path / 'model'
    model = write_model(folder, two_inputs(), text)
    write_scaling_detr(folder / 'net.onnx', [0, 0, 1, 1])
    (profile,) = request(model, Wish(precision='fp32', targets=('8.6',))).identity.profiles
    assert sorted(profile) == ['images', 'orig_target_sizes']
    assert profile['orig_target_sizes'].max == (1, 2)


def test_a_fixed_batch_cannot_be_widened(tmp_path):
    model = write_model(tmp_path / 'model', FAMILIES['unet'](), SEMANTIC)
    with pytest.raises(ParameterError, match='axis 0 fixed at 1'):
        request(model, Wish(precision='fp32', targets=('8.6',), batch=(1, 4, 8)))


def test_sizes_that_the_network_cannot_take_are_refused(model, tmp_path):
    def sized(*sizes):
        return Wish(precision='fp32', targets=('8.6',), sizes=sizes)

    with pytest.raises(ParameterError, match=r'size 256x200 .*multiples of 32.*256x224'):
        request(model, sized((64, 96), (128, 96), (256, 200)))
    with pytest.raises(ParameterError, match=r'leaves out 128x96, the input\.size'):
        request(model, sized((64, 64), (64, 64), (96, 96)))
    fixed = write_model(tmp_path / 'fixed', FAMILIES['yolov8'](batch='batch'))
    with pytest.raises(ParameterError, match='width fixed at 128'):
        request(fixed, sized((64, 96), (128, 96), (256, 96)))


OPENED = ((64, 64), (128, 96), (256, 192))


@pytest.mark.parametrize(
    ('family', 'precision'),
    [
        *((family, 'int8') for family in sorted(FAMILIES.keys() - {'yolov5'})),
        *(('yolov8', 'fp32'), ('yolov8', 'fp16'), ('ddrnet', 'fp16')),
    ],
)
def test_open_height_and_width_build_in_every_precision(rtx, tmp_path, family, precision):
    text = SEMANTIC if family in ('ddrnet', 'unet') else DETECTOR
    network = FAMILIES[family](batch='batch', open_size=True)
    model = write_model(tmp_path / 'model', network, text + INPUT)
    if precision == 'int8':
        calibrate(model)
    wish = Wish(precision, (1, 2, 4), OPENED, targets=('8.6',))
    asked = request(model, wish, rtx)
    profile = asked.identity.profiles[0]['images']
    assert str(profile) == '1x3x64x64:2x3x96x128:4x3x192x256'
    built = obtain_engine(asked, EngineCache(tmp_path / 'engines'))
    if precision == 'int8':
        assert built.facts['int8_share'] > 0.5


def test_builds_once_with_facts_in_the_header(rtx, model, tmp_path):
    cache = EngineCache(tmp_path / 'engines')
    asked = request(model, AHEAD, rtx)
    built = obtain_engine(asked, cache)
    found = obtain_engine(request(model, AHEAD, rtx), cache)
    assert (built.origin, found.origin) == ('built', 'cache')
    assert found.plan == built.plan
    assert found.facts == built.facts
    assert found.facts['layers'] > 100
    assert found.facts['build_seconds'] > 0
    assert found.facts['peak_memory_bytes'] > 1 << 20


@pytest.mark.parametrize(
    'family', ['yolov8', 'yolov5', 'yolov10', 'yolo11', 'rtdetr', 'yolov8_segment']
)
@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('batch', [1, 'batch'])
def test_detectors_build_in_every_precision(rtx, tmp_path, family, precision, batch):
    network = FAMILIES[family](batch=batch)
    built = build(rtx, write_model(tmp_path / 'model', network), precision, batch, tmp_path)
    assert built.plan
    if precision == 'int8':
        assert built.facts['int8_share'] > 0.5


@pytest.mark.parametrize('family', ['ddrnet', 'unet'])
@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('batch', [1, 'batch'])
def test_segmenters_build_in_every_precision(rtx, tmp_path, family, precision, batch):
    network = FAMILIES[family](batch=batch)
    model = write_model(tmp_path / 'model', network, SEMANTIC)
    built = build(rtx, model, precision, batch, tmp_path)
    assert built.plan
    if precision == 'int8':
        assert built.facts['int8_share'] > 0.5


def build(rtx, model, precision, batch, tmp_path):
    if precision == 'int8':
        calibrate(model)
    wish = Wish(precision, (1, 4, 8) if batch == 'batch' else None, targets=('8.6',))
    return obtain_engine(request(model, wish, rtx), EngineCache(tmp_path / 'engines'))


SHIPPED = sorted((ROOT / 'config' / 'models').glob('*.yaml'))


@pytest.mark.parametrize('model', SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize('precision', PRECISIONS)
def test_shipped_models_build_in_every_precision(rtx, tmp_path, model, precision):
    if not load_written_onnx(model).is_file():
        pytest.skip(f'the network of {model.stem} is not in config/models')
    if precision == 'int8' and not ranges_path(model).is_file():
        pytest.skip(f'the calibration of {model.stem} is not in config/models')
    wish = Wish(precision, targets=('8.6',))
    built = obtain_engine(request(model, wish, rtx), EngineCache(tmp_path / 'engines'))
    assert built.origin == 'built'
    if precision == 'int8':
        assert built.facts['int8_share'] >= 0.85


def load_written_onnx(model_yaml):
    return model_yaml.parent / yaml.safe_load(model_yaml.read_text())['onnx']


def test_a_network_without_names_or_with_double_names_builds(rtx, tmp_path):
    network = FAMILIES['ddrnet']()
    for number, node in enumerate(network.graph.node):
        node.name = '' if number % 2 else 'same'
    model = write_model(tmp_path / 'model', network, SEMANTIC)
    for precision in PRECISIONS:
        messages = build(rtx, model, precision, 1, tmp_path).facts['messages']
        assert [text for text in messages if 'already exists' in text] == []


def test_the_gate_judges_before_the_engine_is_kept(rtx, model, tmp_path):
    cache = EngineCache(tmp_path / 'engines')
    seen = []

    def refuse(prepared, built):
        seen.append((prepared.precision, len(built.plan) > 0))
        raise EngineBuildError('0.4 points of mAP lost')

    with pytest.raises(EngineBuildError, match='points of mAP'):
        obtain_engine(request(model, AHEAD, rtx), cache, gate=refuse)
    assert seen == [('fp32', True)]
    assert cache.entries() == []
    engine = obtain_engine(request(model, AHEAD, rtx), cache, gate=lambda *_: {'error': 0.001})
    assert engine.facts['gate'] == cache.entries()[0].facts['gate'] == {'error': 0.001}


@pytest.mark.parametrize('steps', [0, 1, 20])
def test_a_cancelled_build_leaves_nothing(rtx, model, tmp_path, steps):
    seen = []

    def cancelled():
        seen.append(None)
        return len(seen) > steps

    cache = EngineCache(tmp_path / 'engines')
    control = BuildControl(cancelled=cancelled)
    with pytest.raises(BuildCancelledError, match='was cancelled'):
        obtain_engine(request(model, AHEAD, rtx), cache, control=control)
    assert [path.name for path in cache.folder.iterdir()] == ['.building.lock']


def test_an_operator_without_a_kernel_is_named(rtx, tmp_path):
    network = FAMILIES['unet']()
    network.graph.node[-1].op_type = 'Det'
    model = write_model(tmp_path / 'model', network, SEMANTIC)
    with pytest.raises(ModelFileError, match=r'\(opset 17\).*operator Det\): not supported'):
        build(rtx, model, 'fp32', 1, tmp_path)


def test_weights_in_float64_and_an_old_opset_are_refused(rtx, tmp_path):
    network = FAMILIES['unet']()
    first = network.graph.initializer[0]
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first).astype('f8'), first.name))
    with pytest.raises(ModelFileError, match='float64'):
        build(rtx, write_model(tmp_path / 'model', network, SEMANTIC), 'fp32', 1, tmp_path)
    old = FAMILIES['unet'](opset=9)
    with pytest.raises(ModelFileError, match='opset 9 is too old'):
        build(rtx, write_model(tmp_path / 'old', old, SEMANTIC), 'fp32', 1, tmp_path)
