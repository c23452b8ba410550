"""The real parser and builder of TensorRT-RTX, which build ahead of time without a GPU."""

import threading

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from family_networks import FAMILIES
from trt_perception.building.build_progress import BuildControl
from trt_perception.building.engine_identity import ShapeRange
from trt_perception.building.tensorrt_builder import RTX_TARGETS, BuildOptions, build_plan
from trt_perception.errors import (
    BackendUnavailableError,
    BuildCancelledError,
    EngineBuildError,
    ModelFileError,
    ParameterError,
)
from trt_perception.runtime.tensorrt_flavour import Flavour, find_flavour

AHEAD = BuildOptions(targets=('8.6',))
NO_MODULE = Flavour('tensorrt', '10.3.0', None)
"""A flavour of which nothing is touched: what is refused before TensorRT is asked."""


@pytest.fixture(scope='session')
def rtx():
    try:
        return find_flavour('tensorrt-rtx')
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def network(*nodes, shape=(1, 3, 8, 8), weights=None, opset=17, kind=TensorProto.FLOAT):
    """A network from `x` to `y`; the shape of `y` is left to the parser."""
    graph = helper.make_graph(
        [
            helper.make_node(*node[:3], name=node[3], **(node[4] if node[4:] else {}))
            for node in nodes
        ],
        'g',
        [helper.make_tensor_value_info('x', kind, shape)],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8)
    return model.SerializeToString()


def relu(**options):
    return network(('Relu', ['x'], ['y'], 'r'), **options)


def convolution(dtype=np.float32, **options):
    weights = {'w': np.ones((4, 3, 3, 3), dtype)}
    return network(('Conv', ['x', 'w'], ['y'], '/head/conv'), weights=weights, **options)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (BuildOptions(optimization_level=6), r'builder level 6: it must lie in 0\.\.5'),
        (BuildOptions(optimization_level=-1), 'builder level -1'),
        (BuildOptions(workspace_bytes=0), 'workspace of 0 bytes'),
        (BuildOptions(targets=('8.6',)), 'only TensorRT-RTX builds for GPUs other than'),
    ],
)
def test_options_are_checked_before_anything_is_built(options, match):
    with pytest.raises(ParameterError, match=match):
        build_plan(NO_MODULE, relu(), options, origin='net.onnx')


@pytest.mark.parametrize('target', ['8.7', '9.0', '11.0', '86', 'Orin', ''])
def test_a_target_that_rtx_has_not_lists_those_that_it_has(target):
    flavour = Flavour('tensorrt-rtx', '1.7.1', None)
    with pytest.raises(ParameterError, match=r'builds for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0, 12\.1'):
        build_plan(flavour, relu(), BuildOptions(targets=(target,)), origin='net.onnx')


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('batch', [1, 'batch'])
def test_every_family_builds_with_fixed_and_open_batch(rtx, family, batch):
    model = FAMILIES[family](batch=batch)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    extents = ShapeRange(*((number, *shape) for number in (1, 4, 8)))
    profiles = ({'images': extents},) if batch == 'batch' else ()
    options = BuildOptions(profiles=profiles, targets=('8.6',))
    built = build_plan(rtx, model.SerializeToString(), options, origin=family)
    assert len(built.plan) > 10_000
    assert built.layers >= len(model.graph.node) // 2
    assert built.seconds > 0


@pytest.mark.parametrize('target', RTX_TARGETS)
def test_builds_for_every_target_ahead_of_time(rtx, target):
    built = build_plan(rtx, convolution(), BuildOptions(targets=(target,)), origin='net.onnx')
    assert len(built.plan) > 10_000


def test_builds_for_several_targets_at_once_and_with_every_option(rtx):
    options = BuildOptions(
        targets=('8.6', '8.9', '12.0'), optimization_level=2, workspace_bytes=1 << 30
    )
    assert build_plan(rtx, convolution(), options, origin='net.onnx').plan


def test_the_types_are_those_of_the_graph(rtx):
    """Strongly typed: float16 weights on a float32 input are an error, not silently converted."""
    with pytest.raises(ModelFileError, match=r'node /head/conv \(operator Conv\).*must be of same'):
        build_plan(rtx, convolution(np.float16), AHEAD, origin='net.onnx')
    half = convolution(np.float16, kind=TensorProto.FLOAT16)
    assert build_plan(rtx, half, AHEAD, origin='net.onnx').plan


def test_unsupported_operators_are_named_with_opset_and_node(rtx):
    model = network(
        ('Relu', ['x'], ['a'], 'relu'),
        ('Det', ['a'], ['b'], '/post/det'),
        ('Unique', ['b'], ['y'], '/post/unique'),
    )
    with pytest.raises(ModelFileError) as caught:
        build_plan(rtx, model, AHEAD, origin='net.onnx')
    text = str(caught.value)
    assert text.startswith('net.onnx (opset 17): TensorRT-RTX 1.')
    assert 'node /post/det (operator Det): not supported' in text
    assert 'node /post/unique (operator Unique): not supported' in text
    assert 'Export the network without that operator' in text
    assert 'relu' not in text


def test_an_operator_that_fails_only_in_the_builder_is_named_too(rtx):
    weights = {'boxes': np.zeros((1, 8, 4), np.float32)}
    nodes = [
        ('NonMaxSuppression', ['boxes', 'x'], ['found'], '/post/nms'),
        ('Cast', ['found'], ['y'], 'cast', {'to': TensorProto.FLOAT}),
    ]
    model = network(*nodes, shape=(1, 2, 8), weights=weights)
    with pytest.raises(EngineBuildError) as caught:
        build_plan(rtx, model, AHEAD, origin='net.onnx')
    assert 'node /post/nms (operator NonMaxSuppression)' in str(caught.value)
    assert 'no kernel' in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'no network at all', b'\0' * 100])
def test_what_is_no_network_is_refused(rtx, content):
    with pytest.raises(ModelFileError, match='does not take it'):
        build_plan(rtx, content, AHEAD, origin='net.onnx')


def test_an_open_batch_without_a_profile_is_refused(rtx):
    with pytest.raises(ParameterError, match=r'net\.onnx: input x \[\?, 3, 8, 8\] has open'):
        build_plan(rtx, relu(shape=('batch', 3, 8, 8)), AHEAD, origin='net.onnx')


def test_too_little_workspace_is_answered_with_the_option_that_gives_more(rtx):
    options = BuildOptions(targets=('8.6',), workspace_bytes=1 << 10)
    with pytest.raises(EngineBuildError, match='--workspace'):
        build_plan(rtx, FAMILIES['unet']().SerializeToString(), options, origin='net.onnx')


def test_rtx_has_no_timing_cache_and_ignores_one(rtx):
    first = build_plan(rtx, convolution(), AHEAD, origin='net.onnx')
    assert first.timing_cache == b''
    for content in (b'', b'nonsense' * 100):
        built = build_plan(rtx, convolution(), AHEAD, origin='net.onnx', timing_cache=content)
        assert built.plan


def test_progress_rises_to_the_end(rtx):
    shares = []
    control = BuildControl(progress=lambda share, phase: shares.append(share))
    build_plan(rtx, convolution(), AHEAD, origin='net.onnx', control=control)
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert (shares[0] > 0, shares[-1]) == (True, 1.0)


@pytest.mark.parametrize('steps', [0, 1, 10, 40, 55, 58])
def test_a_build_can_be_cancelled_at_any_step(rtx, steps):
    seen = []

    def cancelled():
        seen.append(None)
        return len(seen) > steps

    control = BuildControl(cancelled=cancelled)
    with pytest.raises(BuildCancelledError, match=r'the build of net\.onnx was cancelled'):
        build_plan(rtx, convolution(), AHEAD, origin='net.onnx', control=control)
    assert build_plan(rtx, convolution(), AHEAD, origin='net.onnx').plan


def test_what_a_callback_raises_comes_out_of_the_build(rtx):
    def fail(share, phase):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan(rtx, relu(), AHEAD, origin='net.onnx', control=BuildControl(progress=fail))


def test_builds_in_a_thread_of_its_own(rtx):
    plans = []
    thread = threading.Thread(
        target=lambda: plans.append(build_plan(rtx, relu(), AHEAD, origin='net.onnx').plan)
    )
    thread.start()
    thread.join(60)
    assert plans
    assert plans[0]
