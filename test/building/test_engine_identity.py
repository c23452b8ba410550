import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from building_cases import ORIN, changed
from trt_perception.building.engine_identity import (
    CudaIdentity,
    EngineIdentity,
    GpuIdentity,
    PlatformIdentity,
    ShapeRange,
    TensorRTIdentity,
    differences,
)

OTHER_VALUES = {
    'onnx': ('d' * 64, 'content of the ONNX file aaaaaaaaaaaa, now dddddddddddd'),
    'precision': ('fp16', 'precision int8, now fp16'),
    'calibration': (None, 'calibration cccccccccccc, now none'),
    'keep_float': (('/head/conv',), 'nodes kept in float /head/conv /head/dfl, now /head/conv'),
    'converters': (
        {'onnxruntime': '1.24.0'},
        'converter version onnxruntime 1.23.2, now 1.24.0',
    ),
    'tensorrt': (
        TensorRTIdentity(flavour='tensorrt', version='10.13.3.9'),
        'TensorRT version 10.3.0.30, now 10.13.3.9',
    ),
    'cuda': (CudaIdentity(runtime='12.6', driver='550.1'), 'driver 540.4.0, now 550.1'),
    'platform': (
        PlatformIdentity(system='Linux', architecture='x86_64'),
        'processor architecture aarch64, now x86_64',
    ),
    'gpu': (
        GpuIdentity(name='Orin', compute_capability='8.7', sm_count=16, memory_gib=7),
        'number of SMs 8, now 16',
    ),
    'targets': (('8.6', '8.9'), 'compute capabilities built for none, now 8.6 8.9'),
    'dla_core': (0, 'DLA core none, now 0'),
    'profiles': (
        ({'images': ShapeRange(min=(1, 3, 8, 8), opt=(1, 3, 8, 8), max=(2, 3, 8, 8))},),
        'optimisation profile 0.images 1x3x64x64:4x3x64x64:8x3x64x64, now 1x3x8x8:1x3x8x8:2x3x8x8',
    ),
    'optimization_level': (5, 'builder level 3, now 5'),
    'flags': (('SPARSE_WEIGHTS',), 'builder flags none, now SPARSE_WEIGHTS'),
    'workspace_bytes': (None, 'workspace in bytes 1073741824, now none'),
    'schema': (2, 'key schema of this package 1, now 2'),
}


def test_equal_identities_do_not_differ():
    assert differences(ORIN, changed(ORIN)) == ()


def test_every_field_is_tried_here():
    assert set(OTHER_VALUES) == set(EngineIdentity.__struct_fields__)


@pytest.mark.parametrize('field', OTHER_VALUES)
def test_every_field_changes_the_key_and_is_said_in_words(field):
    value, words = OTHER_VALUES[field]
    other = changed(ORIN, **{field: value})
    assert other.key != ORIN.key
    assert differences(ORIN, other) == (words,)


def test_the_key_is_the_digest_of_json_that_anybody_can_read():
    text = ORIN.canonical_json()
    assert ORIN.key == hashlib.sha256(text).hexdigest()
    value = json.loads(text)
    assert value['gpu']['compute_capability'] == '8.7'
    plain = json.dumps(value, sort_keys=True, separators=(',', ':'))
    assert text == plain.encode()


def test_the_order_in_which_a_mapping_was_filled_does_not_count():
    first = changed(ORIN, converters={'onnx': '1', 'onnxruntime': '2'})
    second = changed(ORIN, converters={'onnxruntime': '2', 'onnx': '1'})
    assert first.key == second.key


def test_building_ahead_of_time_and_for_this_gpu_differ():
    ahead = changed(ORIN, gpu=None, targets=('8.6',))
    assert any(words.startswith('GPU Orin, now none') for words in differences(ORIN, ahead))


def test_even_a_profile_of_no_input_is_a_difference():
    none, empty = changed(ORIN, profiles=()), changed(ORIN, profiles=({},))
    assert differences(none, empty) == ('optimisation profile 0 none, now of no input',)


names = st.text(max_size=12)
digests = st.text('0123456789abcdef', min_size=64, max_size=64)
shapes = st.lists(st.integers(1, 4096), min_size=1, max_size=4).map(tuple)
identities = st.builds(
    EngineIdentity,
    onnx=digests,
    precision=st.sampled_from(['fp32', 'fp16', 'int8']),
    tensorrt=st.builds(TensorRTIdentity, flavour=names, version=names),
    platform=st.builds(PlatformIdentity, system=names, architecture=names),
    calibration=st.none() | digests,
    keep_float=st.lists(names, max_size=3).map(tuple),
    converters=st.dictionaries(names, names, max_size=3),
    cuda=st.builds(CudaIdentity, runtime=st.none() | names, driver=st.none() | names),
    gpu=st.none() | st.builds(GpuIdentity, name=names, compute_capability=names),
    targets=st.lists(names, max_size=2).map(tuple),
    profiles=st.lists(
        st.dictionaries(names, st.builds(ShapeRange, min=shapes, opt=shapes, max=shapes)),
        max_size=2,
    ).map(tuple),
    optimization_level=st.none() | st.integers(0, 5),
    workspace_bytes=st.none() | st.integers(0, 1 << 40),
)


@given(identities)
def test_survives_json(identity):
    assert msgspec.json.decode(identity.canonical_json(), type=EngineIdentity) == identity


@given(identities, identities, st.sampled_from(EngineIdentity.__struct_fields__))
def test_keys_agree_exactly_when_nothing_differs(one, other, field):
    nearly = changed(one, **{field: getattr(other, field)})
    for candidate in (nearly, other):
        same = one == candidate
        assert (one.key == candidate.key) == same
        assert (differences(one, candidate) == ()) == same
